"""Tokens against the keys of their issuer: a real one over HTTP, which rotates keys, fails and lies."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from entrepot.auth.issuer_keys import IssuerKeys, KeySource, issuer_of
from entrepot.auth.provider import ProviderUnreachable
from entrepot.errors import NotAuthenticated
from entrepot.kit import clock
from tests.certificates import Authority
from tests.issuer import CLIENT, Issuer

AUDIENCES = (CLIENT,)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as started:
        yield started


def using(issuer: Issuer, work: Callable[[IssuerKeys], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        options: dict[str, Any] = {"issuer": issuer.url, "timeout": 2.0}
        keys = IssuerKeys(KeySource(**options | more))
        try:
            await work(keys)
        finally:
            await keys.close()

    asyncio.run(run())


async def refused(keys: IssuerKeys, token: str) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        await keys.verify(token, audiences=AUDIENCES)
    return caught.value.message


def test_a_good_token_gives_its_claims_and_keys_are_fetched_once(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        tokens = [issuer.token(sub=f"u-{number}") for number in range(20)]
        claims = await asyncio.gather(*(keys.verify(token, audiences=("other", CLIENT)) for token in tokens))
        assert [one["sub"] for one in claims] == [f"u-{number}" for number in range(20)]
        assert issuer.asked == {"/.well-known/openid-configuration": 1, "/jwks": 1}

    using(issuer, work)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_an_algorithm_of_the_keys_type_is_taken(issuer: Issuer, algorithm: str) -> None:
    async def work(keys: IssuerKeys) -> None:
        issuer.rotate(RSAKey.generate_key(2048))
        token = issuer.token(header={"alg": algorithm}, sub="u")
        assert (await keys.verify(token, audiences=AUDIENCES))["sub"] == "u"

    using(issuer, work)


def test_a_token_for_somebody_else_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        for audience in ("another", ["another"], [], None, {"registry": 1}, ["another", 5], "REGISTRY"):
            assert "audience" in await refused(keys, issuer.token(aud=audience))

    using(issuer, work)


def test_a_token_of_another_issuer_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        for name in (issuer.url + "/", issuer.url.upper(), "https://evil.example", None, 5):
            assert "another issuer" in await refused(keys, issuer.token(iss=name))

    using(issuer, work)


def test_a_token_that_has_expired_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        now = time.time()
        assert await keys.verify(issuer.token(exp=now - 30), audiences=AUDIENCES)  # within the leeway
        for expires in (now - 61, None, "never", True, 0):
            assert "expired" in await refused(keys, issuer.token(exp=expires))
        assert not issuer.asked["/token"]

    using(issuer, work)


def test_a_token_that_does_not_hold_yet_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        later = time.time() + 120
        assert await keys.verify(issuer.token(nbf=later - 90, iat=None), audiences=AUDIENCES)
        for claims in ({"nbf": later}, {"iat": later}, {"nbf": "soon"}, {"iat": [1]}):
            assert "not hold yet" in await refused(keys, issuer.token(**claims))

    using(issuer, work)


def test_alg_none_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        token = issuer.unsigned(sub="u")
        await refused(keys, token)
        await refused(keys, token + issuer.token(sub="u").rpartition(".")[2])

    using(issuer, work)


def test_an_hmac_with_the_public_key_as_its_secret_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        await refused(keys, issuer.confused(sub="u"))

    using(issuer, work)


def test_a_changed_token_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        head, payload, signature = issuer.token(sub="u").split(".")
        other = issuer.token(sub="somebody").split(".")[1]
        await refused(keys, f"{head}.{other}.{signature}")
        await refused(keys, f"{head}.{payload}.")
        await refused(keys, f"{head}.{payload}.{signature[:-8]}")

    using(issuer, work)


def test_keys_that_a_token_brings_are_not_looked_at(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        with Issuer() as evil:
            for header in ({"jku": f"{evil.url}/jwks"}, {"x5u": evil.url}, {"jwk": evil.jwks()["keys"][0]}):
                await refused(keys, evil.token(header=header, iss=issuer.url))
            assert not evil.asked

    using(issuer, work)


def test_a_token_of_another_kind_or_with_a_condition_is_refused(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        for header in ({"typ": "logout+jwt"}, {"typ": "secevent+jwt"}):
            assert "opens nothing" in await refused(keys, issuer.token(header=header))
        assert await keys.verify(issuer.token(header={"typ": "at+JWT"}), audiences=AUDIENCES)

    using(issuer, work)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        "a.b.c.d.e",
        "e30.e30.e30",
        "x" * 20_000,
        "eyJhbGciOiJSUzI1NiJ9.W10.AA",
        "W10.e30.AA",
        "eyJhbGciOjV9.e30.AA",
        ("W" * 12_000) + ".e30.AA",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6bnVsbH0.eyJhdWQiOk5hTn0.AA",
    ],
)
def test_what_is_no_token_is_refused(issuer: Issuer, text: str) -> None:
    async def work(keys: IssuerKeys) -> None:
        await refused(keys, text)
        assert issuer_of(text) == ""
        assert not issuer.asked

    using(issuer, work)


def test_keys_that_are_not_for_signatures_are_not_used(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        [(kid, key)] = issuer.keys
        token = issuer.token(sub="u")
        spare = ECKey.generate_key("P-256").as_dict(private=False)
        public = {**key.as_dict(private=False), "kid": kid}
        for unfit in ({"use": "enc"}, {"alg": "RS512"}, {"alg": "RSA-OAEP"}, {"key_ops": ["encrypt"]}, {"kty": "oct"}):
            document = {"keys": [{**public, **unfit}, spare, None, "key", {"kty": "RSA"}]}
            issuer.trouble["/jwks"] = json.dumps(document).encode()
            fresh = IssuerKeys(KeySource(issuer=issuer.url))
            await refused(fresh, token)
            await fresh.close()

    using(issuer, work)


def test_an_rsa_key_that_is_too_short_is_not_used(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        issuer.trouble["/jwks"] = json.dumps({"keys": [{"kty": "RSA", "n": "AQAB" * 40, "e": "AQAB"}]}).encode()
        with pytest.raises(ProviderUnreachable, match="no key"):
            await keys.verify(issuer.token(), audiences=AUDIENCES)

    using(issuer, work)


def test_keys_rotate_in_the_middle(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        old = issuer.token(sub="old")
        assert await keys.verify(old, audiences=AUDIENCES)
        issuer.rotate(ECKey.generate_key("P-256"))
        new = issuer.token(sub="new")
        both = await asyncio.gather(*(keys.verify(new, audiences=AUDIENCES) for _ in range(10)))
        assert {claims["sub"] for claims in both} == {"new"}
        assert issuer.asked["/jwks"] == 2
        await refused(keys, old)

    using(issuer, work)


def test_made_up_names_of_keys_do_not_hammer_the_issuer(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        for number in range(200):
            await refused(keys, issuer.token(header={"kid": f"made-up-{number}"}))
        assert issuer.asked["/jwks"] == 5  # the first time, and what may be asked at once
        await keys.verify(issuer.token(), audiences=AUDIENCES)

    using(issuer, work)


def test_a_bad_signature_under_a_known_name_is_no_reason_to_fetch_keys(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        for _ in range(20):
            await refused(keys, issuer.token()[:-8] + "AAAAAAAA")
        assert issuer.asked["/jwks"] == 1

    using(issuer, work)


def test_keys_that_change_again_and_again_are_followed(issuer: Issuer) -> None:
    async def work(keys: IssuerKeys) -> None:
        for _ in range(4):
            await keys.verify(issuer.token(), audiences=AUDIENCES)
            issuer.rotate()
        assert await keys.verify(issuer.token(), audiences=AUDIENCES)

    using(issuer, work)


def test_known_keys_go_on_while_the_issuer_is_away_but_not_for_ever(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0.0
    monkeypatch.setattr(clock, "monotonic", lambda: time.monotonic() + ahead)

    async def work(keys: IssuerKeys) -> None:
        nonlocal ahead
        await keys.verify(issuer.token(), audiences=AUDIENCES)
        issuer.trouble["*"] = 503
        ahead = 2 * 3600.0
        for _ in range(20):
            assert await keys.verify(issuer.token(), audiences=AUDIENCES)
        assert issuer.asked["/.well-known/openid-configuration"] == 2
        ahead = 25 * 3600.0
        for _ in range(20):
            with pytest.raises(ProviderUnreachable, match="503"):
                await keys.verify(issuer.token(), audiences=AUDIENCES)
        assert issuer.asked["/.well-known/openid-configuration"] == 3
        issuer.trouble.clear()
        ahead += 60
        assert await keys.verify(issuer.token(), audiences=AUDIENCES)

    using(issuer, work)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (503, "status 503"),
        (404, "status 404"),
        (5.0, "within 0.5 seconds"),
        (b"<html>", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"x": "' + b"x" * 2_000_000 + b'"}', "more than 1048576 bytes"),
        (b'{"issuer": "https://another.example", "jwks_uri": "https://another.example/k"}', "calls itself"),
        (b'{"issuer": 5}', "describes itself wrongly"),
        ("http://127.0.0.1:1/elsewhere", "another server"),
        ("https://127.0.0.1/", "another server"),
        ("/.well-known/openid-configuration", "again and again"),
    ],
)
def test_an_issuer_that_does_not_answer_as_it_should_is_said_to_be_so(
    issuer: Issuer, trouble: object, words: str
) -> None:
    async def work(keys: IssuerKeys) -> None:
        issuer.trouble["/.well-known/openid-configuration"] = trouble
        began = time.monotonic()
        with pytest.raises(ProviderUnreachable, match=words) as caught:
            await keys.verify(issuer.token(), audiences=AUDIENCES)
        assert time.monotonic() - began < 2
        assert "xxxx" not in caught.value.message

    using(issuer, work, timeout=0.5 if isinstance(trouble, float) else 5.0)


def test_an_issuer_that_is_not_there_is_unreachable(issuer: Issuer) -> None:
    issuer.stop()

    async def work(keys: IssuerKeys) -> None:
        with pytest.raises(ProviderUnreachable, match="does not answer"):
            await keys.verify(issuer.token(), audiences=AUDIENCES)

    using(issuer, work)


def test_keys_may_lie_elsewhere_or_in_a_file(issuer: Issuer, tmp_path: Path) -> None:
    file, bearer = tmp_path / "jwks.json", tmp_path / "token"
    issuer.write_keys(file)
    bearer.write_text("the-token\n")

    async def work(keys: IssuerKeys) -> None:
        assert await keys.verify(issuer.token(), audiences=AUDIENCES)

    using(issuer, work, jwks_url=f"{issuer.url}/jwks", bearer_file=str(bearer))
    assert issuer.asked == {"/jwks": 1}
    using(issuer, work, jwks_file=str(file))
    assert issuer.asked == {"/jwks": 1}

    async def nothing(keys: IssuerKeys) -> None:
        with pytest.raises(ProviderUnreachable):
            await keys.load()

    using(issuer, nothing, jwks_file=str(tmp_path / "missing"))
    file.write_text("{}")
    using(issuer, nothing, jwks_file=str(file))
    using(issuer, nothing, jwks_url=f"{issuer.url}/jwks", ca_file=str(tmp_path / "missing"))


def test_a_certificate_is_checked_against_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("issuer", ["127.0.0.1"]))

    async def good(keys: IssuerKeys) -> None:
        assert await keys.verify(secure.token(), audiences=AUDIENCES)

    async def untrusted(keys: IssuerKeys) -> None:
        with pytest.raises(ProviderUnreachable, match="certificate that is not trusted"):
            await keys.verify(secure.token(), audiences=AUDIENCES)

    async def downgraded(keys: IssuerKeys) -> None:
        secure.metadata["jwks_uri"] = secure.url.replace("https:", "http:") + "/jwks"
        with pytest.raises(ProviderUnreachable, match="jwks_uri"):
            await keys.verify(secure.token(), audiences=AUDIENCES)

    with Issuer(context) as secure:
        using(secure, good, ca_file=str(authority.ca_file))
        using(secure, untrusted)
        using(secure, good, verify_certificate=False)
        using(secure, downgraded, ca_file=str(authority.ca_file))
