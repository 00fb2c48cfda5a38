"""An OpenID provider as a source of accounts: asked again with refresh tokens, and for tokens that programs show."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from entrepot.auth.options import OidcOptions
from entrepot.auth.provider import CannotTell, Link, PersonRefused, ProviderGroup, ProviderUnreachable, ProviderUser
from entrepot.auth.providers.oidc import OidcProvider
from entrepot.errors import NotAuthenticated
from tests.integration.auth.visitor import options_of, query_of
from tests.issuer import CALLBACK, Issuer

API = "https://registry.example/api"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as started:
        yield started


def using(options: OidcOptions, work: Callable[[OidcProvider], Awaitable[None]]) -> None:
    async def run() -> None:
        provider = OidcProvider(options)
        try:
            await work(provider)
        finally:
            await provider.close()

    asyncio.run(run())


def link(subject: str = "u-1") -> Link:
    return Link("corp", subject, 7, "alice", False, False, 0, None)


async def logged_in(provider: OidcProvider, issuer: Issuer) -> ProviderUser:
    begun = await provider.begin(CALLBACK)
    back = query_of(issuer.authorize(query_of(begun.url)))
    person, _ = await provider.finish(
        back["code"], redirect_uri=CALLBACK, nonce=begun.nonce, code_verifier=begun.code_verifier, issuer=None
    )
    return person


def test_it_takes_no_passwords_and_says_whether_it_answers(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        assert await provider.log_in("alice", "x") is None
        assert (provider.name, provider.kind, provider.title) == ("corp", "oidc", "Corp")
        await provider.probe()
        issuer.trouble["/jwks"] = 500
        with pytest.raises(ProviderUnreachable):
            await provider.probe()
        issuer.trouble = {}
        issuer.metadata["token_endpoint"] = None
        with pytest.raises(ProviderUnreachable, match="token_endpoint"):
            await provider.probe()

    using(options_of(issuer), work)


def test_behind_tls_nothing_goes_on_without(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense", "http://[::1"):
            issuer.metadata["userinfo_endpoint"] = url
            with pytest.raises(ProviderUnreachable, match="userinfo_endpoint"):
                await provider.probe()

    using(options_of(issuer), work)


# asked again


def test_a_refresh_token_tells_of_new_groups_and_is_replaced(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        person = await logged_in(provider, issuer)
        assert person.credential
        issuer.person["groups"] = ["ops"]
        now = await provider.look_up(link(), person.credential)
        assert now is not None
        assert now.groups == (ProviderGroup("ops", "ops"),)
        assert now.credential not in {"", person.credential}
        assert await provider.look_up(link(), now.credential)

    using(options_of(issuer), work)


def test_without_a_refresh_token_it_cannot_tell(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        with pytest.raises(CannotTell):
            await provider.look_up(link(), "")
        assert not issuer.asked

    using(options_of(issuer), work)


def test_a_refused_refresh_token_ends_an_account_only_where_the_operator_says_so(issuer: Issuer) -> None:
    async def gone(provider: OidcProvider) -> None:
        assert await provider.look_up(link(), "expired") is None

    async def unsure(provider: OidcProvider) -> None:
        with pytest.raises(CannotTell):
            await provider.look_up(link(), "expired")

    using(options_of(issuer, disable_when_gone=True), gone)
    using(options_of(issuer), unsure)


def test_whatever_else_goes_wrong_ends_nobodys_account(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        person = await logged_in(provider, issuer)
        issuer.trouble["/token"] = 503
        with pytest.raises(ProviderUnreachable):
            await provider.look_up(link(), person.credential)
        issuer.trouble = {}
        issuer.secret = "another"
        with pytest.raises(ProviderUnreachable, match="invalid_client"):
            await provider.look_up(link(), person.credential)

    using(options_of(issuer, disable_when_gone=True), work)


def test_an_answer_about_somebody_else_is_not_taken(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        person = await logged_in(provider, issuer)
        with pytest.raises(ProviderUnreachable, match="somebody else"):
            await provider.look_up(link("u-2"), person.credential)

    using(options_of(issuer), work)


# tokens that programs show


def shown(issuer: Issuer, **more: Any) -> str:
    return issuer.token(**{**issuer.person, **more})


def test_an_id_token_opens_rest(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        found = await provider.of_bearer(shown(issuer))
        assert found is not None
        person, expires_at = found
        assert (person.subject, person.name) == ("u-1", "alice")
        assert person.groups == (ProviderGroup("dev", "dev"), ProviderGroup("admins", "admins"))
        assert 590 < expires_at - time.time() <= 600
        assert issuer.asked["/userinfo"] == 0

    using(options_of(issuer), work)


def test_an_access_token_opens_rest_if_its_audience_is_listed(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        header = {"typ": "at+jwt"}
        token = issuer.token(header=header, sub="u-1", aud=[API, "other"], azp="some-client")
        for _ in range(3):
            found = await provider.of_bearer(token)
            assert found is not None
            assert (found[0].name, found[0].is_email_verified) == ("alice", True)
        assert issuer.asked["/userinfo"] == 1
        with pytest.raises(NotAuthenticated, match="audience"):
            await provider.of_bearer(issuer.token(header=header, sub="u-1", aud="other"))
        # what an API's token may not ask for is not known, rather than nothing
        issuer.trouble["/userinfo"] = 401
        found = await provider.of_bearer(issuer.token(header=header, sub="u-1", aud=API, email="a@example.com"))
        assert found is not None
        assert (found[0].name, found[0].groups, found[0].is_admin) == ("a", None, False)

    using(options_of(issuer, api_audiences=(API,)), work)


def test_a_token_of_another_issuer_is_not_ours(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        for token in (shown(issuer, iss="https://another.example"), "opaque-token-of-somebody", "", "a.b.c"):
            assert await provider.of_bearer(token) is None
        assert not issuer.asked

    using(options_of(issuer), work)


BAD: dict[str, dict[str, Any]] = {
    "audience": {"aud": "another"},
    "expired": {"exp": 1_000_000},
    "not yet": {"nbf": 9_000_000_000},
    "another client's": {"azp": "another"},
    "a logout token": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    "several audiences": {"aud": ["registry", "another"]},
}


@pytest.mark.parametrize("kind", BAD)
def test_a_token_of_ours_that_does_not_hold_is_refused(issuer: Issuer, kind: str) -> None:
    async def work(provider: OidcProvider) -> None:
        with pytest.raises(NotAuthenticated):
            await provider.of_bearer(shown(issuer, **BAD[kind]))

    using(options_of(issuer), work)


def test_a_forged_token_is_refused(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        for token in (issuer.unsigned(**issuer.person), issuer.confused(**issuer.person)):
            with pytest.raises(NotAuthenticated):
                await provider.of_bearer(token)

    using(options_of(issuer), work)


def test_a_token_of_somebody_in_too_many_groups_is_refused(issuer: Issuer) -> None:
    async def work(provider: OidcProvider) -> None:
        with pytest.raises(PersonRefused, match="does not list them"):
            await provider.of_bearer(shown(issuer, groups=None, _claim_names={"groups": "src1"}))
        with pytest.raises(PersonRefused, match="1001"):
            await provider.of_bearer(shown(issuer, groups=[f"{number:x}" for number in range(1001)]))

    using(options_of(issuer), work)


OPAQUE = "an-opaque-access-token"


def test_an_opaque_token_is_asked_about_and_the_answer_remembered(issuer: Issuer) -> None:
    issuer.active[OPAQUE] = {"active": True, "sub": "u-1", "client_id": "registry", "exp": int(time.time()) + 500}

    async def work(provider: OidcProvider) -> None:
        for _ in range(5):
            found = await provider.of_bearer(OPAQUE)
            assert found is not None
            assert found[0].name == "alice"
            assert await provider.of_bearer("another-opaque-token") is None
        assert issuer.asked["/introspect"] == 2
        assert await provider.of_bearer("short") is None
        assert await provider.of_bearer("x y " * 10) is None
        assert issuer.asked["/introspect"] == 2

    async def unasked(provider: OidcProvider) -> None:
        assert await provider.of_bearer(OPAQUE) is None

    using(options_of(issuer, introspect=True), work)
    using(options_of(issuer), unasked)


@pytest.mark.parametrize(
    "answer",
    [
        {"aud": "another"},
        {"aud": ["another"], "client_id": "registry"},
        {"client_id": "another"},
        {"client_id": None},
        {"sub": None},
        {"sub": 5},
        {"iss": "https://another.example"},
        {"exp": 5},
        {"token_type": "refresh_token"},
    ],
)
def test_an_opaque_token_that_is_not_for_us_is_refused(issuer: Issuer, answer: dict[str, Any]) -> None:
    good = {"active": True, "sub": "u-1", "client_id": "registry"}
    issuer.active[OPAQUE] = {name: value for name, value in (good | answer).items() if value is not None}

    async def work(provider: OidcProvider) -> None:
        with pytest.raises((NotAuthenticated, PersonRefused)):
            await provider.of_bearer(OPAQUE)

    using(options_of(issuer, introspect=True), work)
