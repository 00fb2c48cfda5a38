"""The page ``/account`` over HTTP: its forms, what protects them, and what is said when something is wrong."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import bindparam, update

from entrepot.auth.store import users
from entrepot.auth.tables import users as table
from entrepot.database import query
from entrepot.journal.model import SYSTEM
from tests.integration.access.served import OWN, basic, bearer
from tests.integration.portal.browser import SITE, Browser, browsing
from tests.integration.rig import PASSWORD, Bench
from tests.issuer import CLIENT, SECRET, Issuer

_SET_SOURCE = query(update(table).where(table.c.name == bindparam("called")).values(source=bindparam("of_source")))


async def come_from(browser: Browser, name: str, source: str) -> None:
    await browser.app.database.write(lambda tx: tx.run(_SET_SOURCE, called=name, of_source=source))


def oidc(issuer: Issuer, **more: Any) -> str:
    values = {"name": "corp", "title": "Corp & Co", "endpoint": issuer.url, "client_id": CLIENT}
    return json.dumps([values | {"client_secret": SECRET, "timeout": 2} | more])


async def through_provider(browser: Browser) -> httpx.Response:
    """Log in at the issuer, which sends everybody back at once; the registry's answer to the one who comes back."""
    await browser.open()
    link = re.search(r'href="(/c/oidc/login[^"]*)"', browser.page.text)
    assert link
    gone = await browser.client.get(link[1].replace("&amp;", "&"))
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(gone.headers["location"])).headers["location"]
    parts = urlsplit(back)
    return await browser.client.get(f"{parts.path}?{parts.query}")


# logging in and out


def test_a_name_and_a_password_begin_a_session_and_the_button_ends_it(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        page = await browser.log_in()
        assert page.status_code == 200
        assert str(page.url) == f"{SITE}/account"
        assert browser.title == "admin"
        assert "administrator" in page.text
        await browser.post("/account/logout")
        assert "You are logged out." in browser.page.text
        assert browser.title == "Log in"
        assert not browser.client.cookies.get("sid")

    browsing(run, work)


def test_every_page_is_kept_to_itself(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        for page in (await browser.open(), await browser.log_in(), await browser.open("/account/nothing")):
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "form-action 'self'" in policy
            assert "script" not in policy
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["referrer-policy"] == "same-origin"
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "<script" not in page.text
            assert "style=" not in page.text

    browsing(run, work)


def test_the_style_sheet_is_kept_by_browsers_under_an_address_of_its_content(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        found = re.search(r'href="(/account/style.css[^"]*)"', (await browser.open()).text)
        assert found
        style = await browser.open(found[1])
        assert style.headers["content-type"] == "text/css; charset=utf-8"
        assert "max-age" in style.headers["cache-control"]
        again = await browser.client.get(found[1], headers={"if-none-match": style.headers["etag"]})
        assert again.status_code == 304

    browsing(run, work)


def test_a_wrong_password_is_said_on_the_page_and_the_name_stays(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        page = await browser.log_in('ad"><b>min', "wrong")
        assert page.status_code == 401
        assert browser.alert == "The user name or the password is wrong."
        assert "ad&#34;&gt;&lt;b&gt;min" in page.text
        assert "www-authenticate" not in page.headers
        assert not browser.client.cookies.get("sid")
        await browser.post("/account/login", username="admin", password=PASSWORD)
        assert browser.title == "admin"

    browsing(run, work)


def test_too_many_guesses_are_told_to_wait(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        for number in range(20):
            page = await browser.log_in("admin", f"wrong {number}")
            if page.status_code == 429:
                break
        assert page.status_code == 429
        assert int(page.headers["retry-after"]) > 0
        assert browser.alert
        assert browser.title == "Log in"

    browsing(run, work)


def test_a_directory_that_does_not_answer_is_said_on_the_page_and_local_people_get_in(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        page = await browser.log_in("alice", "whatever")
        assert page.status_code == 503
        assert "corp" in browser.alert
        await browser.log_in()
        assert browser.title == "admin"

    silent = '[{"name": "corp", "url": "ldaps://127.0.0.1:1", "base_dn": "dc=x", "timeout": 1}]'
    browsing(run, work, ENTREPOT_IDENTITY_LDAP=silent)


# what protects the forms


def test_a_form_without_its_token_or_with_anothers_changes_nothing(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.open()
        for token in ("", "0" * 64, "ä"):
            fields = {"username": "admin", "password": PASSWORD, "csrf": token}
            refused = await browser.client.post("/account/login", data=fields)
            assert refused.status_code == 403
            assert "sid" not in browser.client.cookies
        before = browser.token
        await browser.log_in()
        for token in ("", before):
            refused = await browser.client.post("/account/tokens", data={"name": "x", "days": "1", "csrf": token})
            assert refused.status_code == 403
        assert "You have none." in (await browser.open()).text

    browsing(run, work)


def test_another_sites_form_is_refused_even_with_the_token(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        for site in ("cross-site", "same-site"):
            data = {"name": "x", "csrf": browser.token}
            refused = await browser.client.post("/account/tokens", data=data, headers={"sec-fetch-site": site})
            assert refused.status_code == 403
            assert "Another site" in refused.text

    browsing(run, work)


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.open()
        data = {"username": "admin", "password": PASSWORD, "csrf": browser.token}
        answer = await browser.client.post("/account/login", data=data)
        lines = answer.headers.get_list("set-cookie")
        assert any(line.startswith("sid=") and "HttpOnly" in line and "SameSite=Lax" in line for line in lines)
        assert all("Secure" not in line for line in lines)

    browsing(run, work)


def test_what_is_no_form_of_ours_is_refused_with_a_sentence(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        form = {"content-type": "application/x-www-form-urlencoded"}
        for content, headers, status in (
            (b"{}", {"content-type": "application/json"}, 400),
            (b"\xff\xfe", form, 400),
            (b"&".join(b"a%d=1" % n for n in range(50)), form, 400),
            (b"x" * 70_000, form, 413),
        ):
            answer = await browser.client.post("/account/tokens", content=content, headers=headers)
            assert answer.status_code == status
            assert 'role="alert"' in answer.text
        assert (await browser.client.post("/account", data={})).status_code == 405
        assert (await browser.client.put("/account/tokens")).status_code == 405
        assert (await browser.client.get("/account/tokens")).headers["location"] == "/account"
        assert (await browser.client.get("/account/nothing")).status_code == 404
        assert (await browser.client.head("/account")).status_code == 200

    browsing(run, work)


def test_a_form_of_a_session_that_is_over_leads_to_the_login(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        old = browser.page
        await browser.app.sessions.end(browser.client.cookies["sid"], SYSTEM)
        browser.page = old
        page = await browser.post("/account/tokens", name="x")
        assert page.status_code == 401
        assert "log in again" in browser.alert
        assert browser.title == "Log in"

    browsing(run, work)


# tokens


def test_a_token_is_shown_once_works_and_can_be_revoked(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        page = await browser.post("/account/tokens", name="<laptop>", days="7")
        token = browser.secret
        assert token.startswith("entp_")
        assert "&lt;laptop&gt;" in page.text
        assert "docker login registry.test -u admin" in page.text
        who = await browser.client.get(f"{OWN}/users/current/tokens", headers=bearer(token))
        assert [each["name"] for each in who.json()] == ["<laptop>"]
        page = await browser.open()
        assert token not in page.text
        assert "all that you may" in page.text
        found = re.search(r'name="id" value="(\d+)"', page.text)
        assert found
        await browser.post("/account/tokens/revoke", id=found[1])
        assert "The token works no longer." in browser.page.text
        assert (await browser.client.get(f"{OWN}/roles", headers=bearer(token))).status_code == 401

    browsing(run, work)


def test_a_token_that_only_reads_reads_and_changes_nothing(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        await browser.post("/account/tokens", name="reader", days="", read_only="1")
        token = browser.secret
        assert "It ends: never" in re.sub(r"\s+", " ", browser.page.text)
        assert "read and pull" in (await browser.open()).text
        browser.client.cookies.clear()
        read = await browser.client.get("/api/v2.0/projects/library", headers=bearer(token))
        assert read.status_code == 200
        change = await browser.client.post("/api/v2.0/projects", json={"project_name": "x"}, headers=bearer(token))
        assert change.status_code == 403

    browsing(run, work)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "x", "days": "0"}, 400),
        ({"name": "x", "days": "3651"}, 400),
        ({"name": "x", "days": "-1"}, 400),
        ({"name": "x", "days": "1e3"}, 400),
        ({"name": "x", "days": "٣"}, 400),
        ({"name": "", "days": "1"}, 400),
        ({"name": "x" * 256, "days": "1"}, 400),
        ({"name": "twice", "days": "1"}, 409),
    ],
)
def test_a_token_that_cannot_be_is_refused_on_the_page(run: Bench, fields: dict[str, str], status: int) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        await browser.post("/account/tokens", name="twice", days="1")
        page = await browser.post("/account/tokens", **fields)
        assert page.status_code == status
        assert browser.alert
        assert browser.title == "admin"

    browsing(run, work)


def test_nobody_revokes_what_is_not_theirs(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        await browser.post("/account/tokens", name="x", days="1")
        for wrong in ("4711", "x", "", "9" * 40):
            assert (await browser.post("/account/tokens/revoke", id=wrong)).status_code == 404

    browsing(run, work)


# CLI secrets


def test_a_cli_secret_is_for_accounts_from_elsewhere_shown_once_and_can_be_revoked(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await browser.log_in()
        assert "CLI secret" not in browser.page.text
        await come_from(browser, "admin", "corp")
        await browser.open()
        await browser.post("/account/cli-secret")
        secret = browser.secret
        assert secret.startswith("entc_")
        assert secret not in (await browser.open()).text
        credential = basic("admin", secret)
        browser.client.cookies.clear()
        assert (await browser.client.get("/v2/", headers=credential)).status_code == 200
        for path in (f"{OWN}/users/current/cli-secret", f"{OWN}/users/current/tokens"):
            refused = await browser.client.post(path, json={"name": "x"}, headers=credential)
            assert refused.status_code == 403, path
        assert (await browser.log_in("admin", secret)).status_code == 401
        await browser.log_in()
        await browser.post("/account/cli-secret/revoke")
        assert "The CLI secret works no longer." in browser.page.text
        assert browser.title == "admin"
        assert (await browser.client.get("/v2/", headers=credential)).status_code == 401

    browsing(run, work)


# providers


def test_the_choice_of_providers_is_on_the_page_by_their_titles(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        page = await browser.open()
        assert "Log in with Corp &amp; Co" in page.text
        assert page.text.index('name="password"') < page.text.index("Corp &amp; Co")
        await browser.app.settings.update(SYSTEM, {"primary_auth_mode": True})
        page = await browser.open()
        assert page.text.index('name="password"') > page.text.index("Corp &amp; Co")

    with Issuer() as issuer:
        browsing(run, work, ENTREPOT_IDENTITY_OIDC=oidc(issuer))


def test_somebody_new_chooses_a_name_and_has_an_account(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        gone = await through_provider(browser)
        assert gone.headers["location"].startswith("/account/onboard")
        page = await browser.open(gone.headers["location"])
        assert page.status_code == 200
        assert 'value="alice"' in page.text
        for taken, status in (("admin", 409), ("a b", 400), ("", 400)):
            page = await browser.post("/account/onboard", username=taken)
            assert page.status_code == status
            assert browser.alert
            assert browser.title == "Choose a user name"
        await browser.post("/account/onboard", username="alice-a")
        assert "Corp &amp; Co, as alice" in browser.page.text
        assert "CLI secret" in browser.page.text
        assert str(browser.page.url) == f"{SITE}/account"
        user = await users.find_by_name(browser.app.database, "alice-a")
        assert user is not None
        assert user.source == "corp"
        me = (await browser.client.get("/api/v2.0/users/current")).json()
        assert me["oidc_user_meta"]["subiss"].startswith("u-1http://")
        assert "secret" not in me["oidc_user_meta"]

    with Issuer() as issuer:
        browsing(run, work, ENTREPOT_IDENTITY_OIDC=oidc(issuer))


def test_the_page_for_a_name_is_for_those_who_come_from_a_provider(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        page = await browser.open("/account/onboard")
        assert page.status_code == 401
        assert "begin again" in browser.alert
        assert browser.title == "Log in"
        data = {"csrf": browser.token, "username": "mallory"}
        assert (await browser.client.post("/account/onboard", data=data)).status_code == 401

    browsing(run, work)


def test_logging_out_leads_on_to_the_provider_where_that_is_wished(run: Bench) -> None:
    async def work(browser: Browser) -> None:
        await through_provider(browser)
        await browser.open()
        assert browser.title == "Alice A"
        page = await browser.post("/account/logout")
        assert page.status_code == 200
        assert page.headers["refresh"].startswith("0;url=http://127.0.0.1:")
        assert not browser.client.cookies.get("sid")
        assert (await browser.open()).status_code == 200
        assert browser.title == "Log in"

    with Issuer() as issuer:
        issuer.metadata["end_session_endpoint"] = f"{issuer.url}/logout"
        browsing(run, work, ENTREPOT_IDENTITY_OIDC=oidc(issuer, auto_onboard=True, logout=True))
