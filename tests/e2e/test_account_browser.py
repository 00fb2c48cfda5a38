"""The page ``/account`` in Debian's Chromium: log in, make a token, revoke it; narrow, dark, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.clients import client
from tests.e2e.test_oidc_browser import FLAGS
from tests.serving import Server, serving

SCHEMES: list[dict[str, Any]] = [
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark", "java_script_enabled": False},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("account") / "data", workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=client("chromium"), headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=SCHEMES, ids=["wide", "narrow-dark-no-script"])
def context(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    made = chromium.new_context(**request.param)
    yield made
    made.close()


def log_in(page: Page, server: Server, password: str = "") -> None:
    page.goto(f"{server.url}/account")
    page.get_by_label("User name").fill(server.user)
    page.get_by_label("Password").fill(password or server.password)
    page.get_by_role("button", name="Log in").click()


def test_somebody_logs_in_makes_a_token_uses_it_and_revokes_it(server: Server, context: BrowserContext) -> None:
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    log_in(page, server, "wrong")
    expect(page.get_by_role("alert")).to_have_text("The user name or the password is wrong.")
    expect(page.get_by_label("User name")).to_have_value(server.user)
    log_in(page, server)
    expect(page).to_have_url(f"{server.url}/account")
    expect(page.get_by_role("heading", level=1)).to_have_text("admin")

    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_label("Only read and pull").check()
    page.get_by_role("button", name="Make the token").click()
    shown = page.get_by_label("Token", exact=True)
    expect(shown).to_have_attribute("readonly", "")
    token = shown.input_value()
    bearer = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{server.url}/api/v2.0/users/current", headers=bearer).status_code == 200
    page.goto(f"{server.url}/account")
    assert token not in page.content()

    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.get_by_role("status")).to_have_text("The token works no longer.")
    assert httpx.get(f"{server.url}/api/v2.0/users/current", headers=bearer).status_code == 401
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("status")).to_have_text("You are logged out.")
    assert not any(cookie["name"] == "sid" for cookie in context.cookies())
    # The page's own policy has nothing to complain about; the only message is that of the refused login.
    assert [text for text in said if "401" not in text] == []


def test_nothing_is_wider_than_a_telephone_and_everything_is_reached_with_the_keyboard(
    server: Server, chromium: Browser
) -> None:
    context = chromium.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    log_in(page, server)
    page.get_by_label("Name", exact=True).fill("a-token-with-a-name-that-is-long-and-has-no-blank-" + "x" * 60)
    page.get_by_role("button", name="Make the token").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate("document.querySelectorAll('input:not([type=hidden])').length") == page.evaluate(
        "[...document.querySelectorAll('input:not([type=hidden])')].filter(each => each.labels.length).length"
    )
    page.goto(f"{server.url}/account")
    reached = []
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement !== document.body"):
        reached.append(page.evaluate("document.activeElement.getAttribute('name') || document.activeElement.innerText"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") in {"solid", "auto"}
        page.keyboard.press("Tab")
    assert {"Log out", "name", "days", "read_only", "Make the token"} <= set(reached)
    context.close()
