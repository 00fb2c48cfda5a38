"""Logging in at an OpenID provider with a browser: there, back, and what is refused on the way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from entrepot.auth.store import pending_logins
from entrepot.errors import EntrepotError
from tests.integration.auth.desk import Office
from tests.integration.auth.moving_clock import MovingClock
from tests.integration.auth.visitor import SITE, Hall, options_of, query_of, visiting
from tests.issuer import CALLBACK, CLIENT, Issuer

HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as started:
        yield started


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["message"]


async def is_kept(hall: Hall, state: str) -> bool:
    return await pending_logins.find(hall.desk.database, hashlib.sha256(state.encode()).digest()) is not None


async def failures(hall: Hall) -> list[str]:
    return [event["reason"] for event in await hall.desk.events("BrowserLoginFailed")]


def test_a_login_goes_there_and_back_and_begins_a_session(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            gone = await browser.leave(redirect_url="/account?tab=tokens")
            asked = query_of(gone.headers["location"])
            assert gone.headers["location"].startswith(f"{issuer.url}/authorize?")
            assert asked["response_type"] == "code"
            assert (asked["client_id"], asked["redirect_uri"]) == (CLIENT, CALLBACK)
            assert (asked["scope"], asked["code_challenge_method"]) == ("openid profile email", "S256")
            assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) == 43
            cookie = gone.headers["set-cookie"]
            assert cookie.endswith("; Path=/c/oidc; HttpOnly; SameSite=Lax; Max-Age=600")
            assert gone.headers["cache-control"] == "no-store"
            back = await browser.come_back(await browser.at_provider(gone.headers["location"]))
            assert (back.status_code, back.headers["location"]) == (302, "/account?tab=tokens")
            assert back.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax")
            assert await browser.name(hall) == "alice"
        user = await hall.desk.user("alice")
        assert (user.email, user.real_name, user.source) == ("alice@example.com", "Alice A", "corp")
        [event] = await hall.desk.events("LoggedIn")
        assert (event["user"], event["provider"], event["principal"]) == ("alice", "corp", "alice")
        [moved] = await hall.desk.events("MembershipsChanged")
        assert moved["added"] == ["admins", "dev"]
        assert not office.holds(asked["state"].encode())
        assert not office.holds(asked["nonce"].encode())

    visiting(office, [options_of(issuer)], work)


def test_cookies_are_for_https_only_where_that_is_spoken(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser(scheme="https") as browser:
            gone = await browser.leave()
            assert gone.headers["set-cookie"].endswith("; Secure")
            assert query_of(gone.headers["location"])["redirect_uri"] == CALLBACK.replace("http:", "https:")
            back = await browser.come_back(await browser.at_provider(gone.headers["location"]))
            assert back.headers["set-cookie"].endswith("; Secure")

    visiting(office, [options_of(issuer)], work)


def test_more_parameters_go_along_but_replace_none_of_ours(office: Office, issuer: Issuer) -> None:
    issuer.metadata["authorization_endpoint"] = f"{issuer.url}/authorize?tenant=1&scope=all"
    more = {"prompt": "login", "state": "mine", "code_challenge_method": "plain", "redirect_uri": "http://evil.test"}

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            gone = await browser.leave()
            asked = query_of(gone.headers["location"])
            assert (asked["tenant"], asked["prompt"], asked["scope"]) == ("1", "login", "openid profile")
            assert (asked["redirect_uri"], asked["code_challenge_method"]) == (CALLBACK, "S256")
            assert asked["state"] != "mine"

    visiting(office, [options_of(issuer, extra_parameters=more, scope="openid,profile")], work)


@pytest.mark.parametrize("methods", [None, ["client_secret_post"], ["client_secret_post", "client_secret_basic"]])
def test_the_client_says_who_it_is_as_the_provider_wishes(
    office: Office, issuer: Issuer, methods: list[str] | None
) -> None:
    issuer.metadata["token_endpoint_auth_methods_supported"] = methods

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert (await browser.log_in()).headers["location"] == "/account"

    visiting(office, [options_of(issuer)], work)


def test_a_public_client_has_no_secret(office: Office, issuer: Issuer) -> None:
    issuer.secret = ""

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert (await browser.log_in()).headers["location"] == "/account"

    visiting(office, [options_of(issuer, client_secret="")], work)


def test_a_wrong_secret_is_the_operators_to_mend(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            status, words = refusal(await browser.log_in())
            assert status == 503
            assert "invalid_client" in words
            assert "client_secret" in words
            assert "nonsense" not in words

    visiting(office, [options_of(issuer, client_secret="nonsense")], work)


def test_a_provider_is_chosen_by_its_name(office: Office, issuer: Issuer) -> None:
    with Issuer() as other:
        other.person = {"sub": "u-1", "email": "bob@example.com", "email_verified": False}

        async def work(hall: Hall) -> None:
            async with hall.browser() as browser:
                await browser.log_in(provider="other")
                assert await browser.name(hall) == "bob"
                await browser.log_in()
                assert await browser.name(hall) == "alice"
                assert refusal(await browser.leave(provider="unknown"))[0] == 404

        visiting(office, [options_of(issuer), options_of(other, name="other")], work)


def test_without_a_provider_there_is_nothing_to_log_in_at(office: Office) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            answer = await browser.leave()
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (412, "PRECONDITION")
            page = await browser.client.get("/c/oidc/login", headers=HTML)
            assert page.status_code == 412
            assert 'href="/account"' in page.text

    visiting(office, [], work)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/a\\..\\evil",
        "/a\r\nset-cookie: sid=evil",
        "/a b",
        "/é",
        "javascript:alert(1)",
        "evil.example",
        " /account",
        "/" + "a" * 3000,
    ],
)
def test_nobody_is_sent_elsewhere_afterwards(office: Office, issuer: Issuer, target: str) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            status, words = refusal(await browser.leave(redirect_url=target))
            assert status == 400
            assert "redirect_url" in words
        assert not issuer.asked

    visiting(office, [options_of(issuer)], work)


# what comes back


def test_a_replayed_answer_is_refused(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            gone = await browser.leave()
            back = await browser.at_provider(gone.headers["location"])
            assert (await browser.come_back(back)).headers["location"] == "/account"
            assert refusal(await browser.come_back(back)) == (401, "This login was used or is too old: begin again.")
            assert issuer.asked["/token"] == 1
        assert await failures(hall) == ["NotAuthenticated"]

    visiting(office, [options_of(issuer)], work)


def test_of_two_processes_that_are_shown_one_answer_one_takes_it(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            gone = await browser.leave()
            back = await browser.at_provider(gone.headers["location"])
            answers = await asyncio.gather(*(browser.come_back(back) for _ in range(8)))
            assert sorted(answer.status_code for answer in answers) == [302] + [401] * 7
            assert issuer.asked["/token"] == 1

    visiting(office, [options_of(issuer)], work)


def test_another_browsers_login_is_refused_and_over(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as victim, hall.browser() as attacker:
            gone = await attacker.leave()
            await victim.leave()
            back = await attacker.at_provider(gone.headers["location"])
            status, words = refusal(await victim.come_back(back))
            assert status == 401
            assert "another browser" in words
            assert await victim.name(hall) == ""
            assert refusal(await attacker.come_back(back))[0] == 401
            assert not issuer.asked["/token"]
        async with hall.browser() as nobody:
            assert refusal(await nobody.come_back(back))[0] == 401

    visiting(office, [options_of(issuer)], work)


def test_two_logins_of_one_browser_do_not_disturb_each_other(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            first, second = await browser.leave(redirect_url="/one"), await browser.leave(redirect_url="/two")
            for gone, path in ((first, "/one"), (second, "/two")):
                back = await browser.come_back(await browser.at_provider(gone.headers["location"]))
                assert back.headers["location"] == path

    visiting(office, [options_of(issuer)], work)


def test_a_login_that_took_too_long_is_refused(office: Office, issuer: Issuer, moving: MovingClock) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            gone = await browser.leave()
            state = query_of(gone.headers["location"])["state"]
            other = query_of((await browser.leave()).headers["location"])["state"]
            back = await browser.at_provider(gone.headers["location"])
            moving.advance(601)
            assert refusal(await browser.come_back(back))[0] == 401
            assert not await is_kept(hall, state)
            await hall.logins.expire()
            assert await is_kept(hall, other)
            moving.advance(300)
            await hall.logins.expire()
            assert not await is_kept(hall, other)

    visiting(office, [options_of(issuer)], work)


def test_made_up_answers_are_throttled(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            statuses = [(await browser.client.get(f"/c/oidc/callback?state={n}&code=x")).status_code for n in range(40)]
            assert set(statuses) == {401, 429}
            assert statuses[:30] == [401] * 30

    visiting(office, [options_of(issuer)], work)


ID_TOKENS: dict[str, dict[str, Any]] = {
    "of another login": {"nonce": "made-up"},
    "of no login": {"nonce": None},
    "for somebody else": {"aud": "another"},
    "for another client first": {"aud": [CLIENT, "another"], "azp": "another"},
    "for several, without saying whose": {"aud": [CLIENT, "another"]},
    "made for another client": {"azp": "another"},
    "of another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1_000_000},
    "without an end": {"exp": None},
    "of the future": {"iat": 9_000_000_000},
    "not valid yet": {"nbf": 9_000_000_000},
    "bound to another access token": {"at_hash": "AAAA"},
}


@pytest.mark.parametrize("kind", ID_TOKENS)
def test_an_id_token_that_does_not_fit_is_refused(office: Office, issuer: Issuer, kind: str) -> None:
    issuer.overrides = ID_TOKENS[kind]

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert refusal(await browser.log_in())[0] == 401
            assert await browser.name(hall) == ""
        assert await failures(hall) == ["NotAuthenticated"]

    visiting(office, [options_of(issuer)], work)


def test_an_id_token_that_says_not_who_it_is_is_refused(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            for subject in (None, "", 5, "x" * 300, "a\0b"):
                issuer.overrides = {"sub": subject}
                assert refusal(await browser.log_in())[0] == 401

    visiting(office, [options_of(issuer)], work)


@pytest.mark.parametrize("forge", ["unsigned", "confused"])
def test_an_id_token_that_nobody_signed_is_refused(office: Office, issuer: Issuer, forge: str) -> None:
    issuer.forge = forge

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert refusal(await browser.log_in())[0] == 401
            assert await browser.name(hall) == ""

    visiting(office, [options_of(issuer)], work)


def test_the_answer_of_another_provider_is_refused(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            issuer.parameters = {"iss": "https://evil.example"}
            assert "another provider" in refusal(await browser.log_in())[1]
            issuer.parameters = {"iss": None}  # a provider that has never heard of RFC 9207
            assert (await browser.log_in()).headers["location"] == "/account"
        assert issuer.asked["/token"] == 1

    visiting(office, [options_of(issuer)], work)


def test_an_answer_that_should_say_whose_it_is_is_refused_if_it_does_not(office: Office, issuer: Issuer) -> None:
    issuer.metadata["authorization_response_iss_parameter_supported"] = True
    issuer.parameters = {"iss": None}

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert refusal(await browser.log_in())[0] == 401
            assert not issuer.asked["/token"]

    visiting(office, [options_of(issuer)], work)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"code": None, "error": "access_denied"}, "did not agree"),
        ({"code": None, "error": "login_required"}, "login_required"),
        ({"code": None, "error": "<script>alert(1)</script>"}, "no reason given"),
        ({"code": None}, "no reason given"),
        ({"code": ""}, "no reason given"),
        ({"code": "made-up"}, "does not take the login's code"),
    ],
)
def test_a_provider_that_lets_nobody_in_is_believed(
    office: Office, issuer: Issuer, parameters: dict[str, str | None], words: str
) -> None:
    issuer.parameters = parameters

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            status, message = refusal(await browser.log_in())
            assert status == 401
            assert words in message

    visiting(office, [options_of(issuer)], work)


def test_an_answer_that_says_two_things_is_refused(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            gone = await browser.leave()
            back = await browser.at_provider(gone.headers["location"])
            assert refusal(await browser.come_back(back + "&code=another"))[0] == 400
            assert (await browser.come_back(back)).status_code == 302

    visiting(office, [options_of(issuer)], work)


@pytest.mark.parametrize("path", ["/token", "/userinfo", "/jwks", "/.well-known/openid-configuration"])
@pytest.mark.parametrize("trouble", [503, 5.0])
def test_a_provider_that_falls_silent_is_said_to_be_so(
    office: Office, issuer: Issuer, path: str, trouble: float
) -> None:
    issuer.in_userinfo = {"email"}
    issuer.trouble[path] = trouble

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            gone = await browser.leave()
            if gone.status_code == 302:
                gone = await browser.come_back(await browser.at_provider(gone.headers["location"]))
            status, words = refusal(gone)
            assert status == 503
            assert "corp does not answer now" in words
            assert await browser.name(hall) == ""

    visiting(office, [options_of(issuer, timeout=0.4)], work)


def test_keys_rotate_between_two_logins(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert (await browser.log_in()).headers["location"] == "/account"
            issuer.rotate(ECKey.generate_key("P-256"))
            assert (await browser.log_in()).headers["location"] == "/account"

    visiting(office, [options_of(issuer)], work)


def test_to_a_browser_a_failure_is_a_page_that_runs_nothing(office: Office, issuer: Issuer) -> None:
    issuer.parameters = {"iss": "<script>"}

    async def work(hall: Hall) -> None:
        async with hall.browser(headers=HTML) as browser:
            page = await browser.log_in()
            assert page.status_code == 401
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert page.headers["cache-control"] == "no-store"
            assert 'href="/account"' in page.text
            assert "<script" not in page.text

    visiting(office, [options_of(issuer, title="<script>alert(1)</script>")], work)


# groups


@pytest.mark.parametrize("count", [1001, 10_000, 30_000])
def test_somebody_in_too_many_groups_is_refused(office: Office, issuer: Issuer, count: int) -> None:
    issuer.in_userinfo = {"groups"}
    issuer.person["groups"] = [f"group-{number}" for number in range(count)]

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            status, words = refusal(await browser.log_in())
            assert status == 401
            assert str(count) in words
        assert await failures(hall) == ["PersonRefused"]
        assert len(await hall.desk.events("UserCreated")) == 1  # the administrator

    async def filtered(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert (await browser.log_in()).status_code == 302
        [moved] = await hall.desk.events("MembershipsChanged")
        assert moved["added"] == ["group-7"]

    visiting(office, [options_of(issuer)], work)
    if count <= 20_000:
        visiting(office, [options_of(issuer, group_filter="group-7")], filtered)


def test_groups_from_userinfo_count_if_they_are_the_same_persons(office: Office, issuer: Issuer) -> None:
    issuer.in_userinfo = {"groups", "email", "email_verified"}

    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            issuer.userinfo = {"sub": "u-2"}
            assert refusal(await browser.log_in())[0] == 401
            issuer.userinfo = {}
            assert (await browser.log_in()).status_code == 302
        assert (await hall.desk.user("alice")).email == "alice@example.com"
        assert await hall.desk.events("MembershipsChanged")

    visiting(office, [options_of(issuer)], work)


def test_a_group_of_administrators_administers_as_long_as_somebody_is_in_it(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            await browser.log_in()
            assert (await hall.desk.user("alice")).administers
            issuer.person["groups"] = []
            await browser.log_in()
            assert not (await hall.desk.user("alice")).administers

    visiting(office, [options_of(issuer, admin_group="admins", group_filter="dev")], work)


# choosing a name


def test_a_newcomer_chooses_a_name_and_is_let_in(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            sent = await browser.log_in(redirect_url="/account?x=1")
            assert sent.status_code == 302
            assert sent.headers["location"].startswith("/account/onboard?")
            assert query_of(sent.headers["location"]) == {"redirect_url": "/account?x=1", "username": "alice"}
            cookie = browser.client.cookies["entrepot_onboarding"]
            assert await browser.name(hall) == ""
            newcomer = await hall.logins.newcomer(cookie)
            assert newcomer is not None
            assert (newcomer.suggestion, newcomer.email) == ("alice", "alice@example.com")
            for name, status in (("admin", 409), ("a b", 400), ("", 400), ("robot$x", 400), ("system", 400)):
                answer = await browser.client.post("/c/oidc/onboard", json={"username": name})
                assert answer.status_code == status, name
            answer = await browser.client.post("/c/oidc/onboard", json={"username": "alicia"})
            assert (answer.status_code, answer.json()) == (200, {"redirect_url": "/account?x=1"})
            assert answer.headers["x-harbor-csrf-token"]
            assert await browser.name(hall) == "alicia"
            again = await browser.client.post("/c/oidc/onboard", json={"username": "another"})
            assert again.status_code == 401
            assert await hall.logins.newcomer(cookie) is None
            # from now on no name is asked for
            assert (await browser.log_in()).headers["location"] == "/account"
            assert await browser.name(hall) == "alicia"
            assert not office.holds(cookie.encode())

    visiting(office, [options_of(issuer, auto_onboard=False)], work)


def test_a_form_chooses_a_name_too_and_another_site_does_not(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            await browser.log_in(redirect_url="/here")
            form = {"username": "alicia"}
            crossed = await browser.client.post("/c/oidc/onboard", data=form, headers={"sec-fetch-site": "cross-site"})
            assert crossed.status_code == 403
            done = await browser.client.post("/c/oidc/onboard", data=form)
            assert (done.status_code, done.headers["location"]) == (303, "/here")
            assert await browser.name(hall) == "alicia"

    visiting(office, [options_of(issuer, auto_onboard=False)], work)


def test_nobody_else_chooses_and_not_for_ever(office: Office, issuer: Issuer, moving: MovingClock) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser, hall.browser() as other:
            await browser.log_in()
            name = {"username": "alicia"}
            assert (await other.client.post("/c/oidc/onboard", json=name)).status_code == 401
            state = query_of((await browser.leave()).headers["location"])["state"]
            other.client.cookies.set("entrepot_onboarding", state)  # a row of the other kind
            assert (await other.client.post("/c/oidc/onboard", json=name)).status_code == 401
            cookie = browser.client.cookies["entrepot_onboarding"]
            stray = await browser.client.get(f"/c/oidc/callback?state={cookie}&code=x")
            assert stray.status_code == 401
            await browser.log_in()
            moving.advance(901)
            assert (await browser.client.post("/c/oidc/onboard", json=name)).status_code == 401

    visiting(office, [options_of(issuer, auto_onboard=False)], work)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"username": 5}', b"\xff", b"[" * 10_000])
def test_what_names_nobody_is_refused(office: Office, issuer: Issuer, body: bytes) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert (await browser.client.post("/c/oidc/onboard", content=body)).status_code == 400
            assert (await browser.client.post("/c/oidc/onboard", content=b"x" * 20_000)).status_code == 413
            assert (await browser.client.post("/c/oidc/login")).status_code == 405
            assert (await browser.client.get("/c/oidc/nothing")).status_code == 404

    visiting(office, [options_of(issuer)], work)


# going


def test_logging_out_ends_the_session_here_and_there(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            await browser.log_in()
            sid = browser.client.cookies["sid"]
            crossed = await browser.client.get("/c/oidc/logout", headers={"sec-fetch-site": "cross-site"})
            assert crossed.status_code == 403
            out = await browser.client.get("/c/oidc/logout")
            assert out.status_code == 302
            assert out.headers["location"].startswith(f"{issuer.url}/logout?")
            asked = query_of(out.headers["location"])
            assert asked["post_logout_redirect_uri"] == f"{SITE}/account"
            assert asked["id_token_hint"].count(".") == 2
            assert "Max-Age=0" in out.headers["set-cookie"]
            assert await hall.desk.sessions.find(sid) is None
            assert not office.holds(asked["id_token_hint"].encode())
            # nobody is there any more
            assert (await browser.client.get("/c/oidc/logout")).headers["location"] == "/account"
        assert len(await hall.desk.events("LoggedOut")) == 1

    visiting(office, [options_of(issuer, logout=True)], work)


def test_logging_out_stays_here_where_the_operator_says_so(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            await browser.log_in()
            assert (await browser.client.get("/c/oidc/logout")).headers["location"] == "/account"
            assert await browser.name(hall) == ""

    visiting(office, [options_of(issuer)], work)


def test_the_verifier_is_what_the_challenge_was_made_of(office: Office, issuer: Issuer) -> None:
    async def work(hall: Hall) -> None:
        provider: Any = await hall.desk.directory.find("corp")
        begun = await provider.begin(CALLBACK)
        digest = hashlib.sha256(begun.code_verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert query_of(begun.url)["code_challenge"] == challenge
        back = query_of(issuer.authorize(query_of(begun.url)))
        with pytest.raises(EntrepotError, match="code"):
            await provider.finish(
                back["code"], redirect_uri=CALLBACK, nonce=begun.nonce, code_verifier="x" * 43, issuer=None
            )

    visiting(office, [options_of(issuer)], work)
