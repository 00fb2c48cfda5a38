"""People with Debian's Chromium log in at a real OpenID provider, choose a name, and use what they get with clients."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.clients import Tool, client
from tests.identity_servers import AUDIENCE, CLIENT, SECRET, OidcServer
from tests.serving import Server

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, OidcServer]]:
    """A registry with two workers, and a provider that sends people back to it."""
    server = Server(tmp_path_factory.mktemp("oidc") / "data", workers=2)
    with OidcServer(server.url) as provider:
        options: dict[str, Any] = {
            "name": "corp",
            "title": "Corp ID",
            "endpoint": provider.url,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "scope": "openid profile email groups offline_access",
            "extra_parameters": {"prompt": "consent"},
            "groups_claim": "groups",
            "admin_group": "registry-admins",
            "api_audiences": [AUDIENCE],
            "logout": True,
        }
        server.environment = {"ENTREPOT_IDENTITY_OIDC": json.dumps([options])}
        server.start()
        try:
            yield server, provider
            server.stop()
        finally:
            server.kill()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=client("chromium"), headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page without anybody's cookies."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def log_in(page: Page, server: Server, user: str) -> None:
    """From the registry's page through the provider's and back."""
    page.goto(f"{server.url}/account")
    page.get_by_text("Corp ID").click()
    page.locator('input[name="login"]').fill(user)
    page.locator('input[name="password"]').fill("any")
    page.get_by_role("button").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{server.url}/**")


def test_a_person_logs_in_chooses_a_name_and_logs_out(place: tuple[Server, OidcServer], page: Page) -> None:
    server, provider = place
    log_in(page, server, "alice")
    assert page.url.startswith(f"{server.url}/account/onboard")
    expect(page.locator("#username")).to_have_value("alice")
    page.locator("#username").fill("admin")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("already")
    page.locator("#username").fill("alice-a")
    page.get_by_role("button").click()
    page.wait_for_url(f"{server.url}/account")
    expect(page.locator("body")).to_contain_text("alice-a")
    me = page.request.get(f"{server.url}/api/v2.0/users/current").json()
    assert (me["username"], me["email"], me["realname"]) == ("alice-a", "alice@example.com", "Alice A")
    assert me["admin_role_in_auth"]
    # alice is in the provider's group of administrators
    assert page.request.get(f"{server.url}/api/v2.0/users").status == 200
    # out: here, and there
    page.goto(f"{server.url}/c/oidc/logout")
    assert page.url.startswith(f"{provider.url}/session/end")
    page.get_by_role("button", name="Yes").click()
    page.wait_for_url(f"{server.url}/account")
    assert page.request.get(f"{server.url}/api/v2.0/users/current").status == 401
    # and in again, without a question
    log_in(page, server, "alice")
    assert page.url == f"{server.url}/account"


def test_who_leaves_the_provider_reads_a_sentence(place: tuple[Server, OidcServer], page: Page) -> None:
    server, _ = place
    page.goto(f"{server.url}/c/oidc/login?redirect_url=/account")
    page.get_by_text("[ Cancel ]").click()
    page.wait_for_url(f"{server.url}/**")
    expect(page.get_by_role("alert")).to_contain_text("did not agree")
    page.get_by_role("link", name="Choose how to log in").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_cli_secret_and_a_token_log_clients_in(place: tuple[Server, OidcServer], page: Page, tmp_path: Path) -> None:
    server, _ = place
    log_in(page, server, "carol")
    page.locator("#username").fill("carol")
    page.get_by_role("button").click()
    page.get_by_role("button", name="Make one").click()
    secret = page.locator("#made").input_value()
    skopeo = Tool(client("skopeo"), dict(os.environ))
    login = ["login", "--tls-verify=false", f"--authfile={tmp_path / 'auth.json'}", "-u", "carol", "--password-stdin"]
    assert "Login Succeeded" in skopeo(*login, server.address, stdin=secret)
    assert skopeo.run(*login, server.address, stdin=f"{secret}x").returncode != 0
    assert httpx.get(f"{server.url}/v2/", auth=("carol", secret)).status_code == 200
    # nobody's password: it is typed at the provider only
    assert httpx.get(f"{server.url}/v2/", auth=("carol", "any")).status_code == 401


def test_rest_takes_the_providers_tokens(place: tuple[Server, OidcServer], page: Page) -> None:
    server, provider = place
    log_in(page, server, "bob")
    page.locator("#username").fill("bob-b")
    page.get_by_role("button").click()
    page.wait_for_url(f"{server.url}/account")
    token = provider.access_token("bob", resource=AUDIENCE)
    bearer = {"authorization": f"Bearer {token}"}
    me = httpx.get(f"{server.url}/api/v2.0/users/current", headers=bearer)
    assert (me.status_code, me.json()["username"]) == (200, "bob-b")
    assert httpx.get(f"{server.url}/api/v2.0/users", headers=bearer).status_code == 403
    assert (
        httpx.get(f"{server.url}/api/v2.0/users/current", headers={"authorization": f"Bearer {token}x"}).status_code
        == 401
    )


def test_an_administrator_tries_a_provider(place: tuple[Server, OidcServer]) -> None:
    server, provider = place
    ping = f"{server.url}/api/v2.0/system/oidc/ping"
    admin = (server.user, server.password)
    assert httpx.post(ping, json={"url": provider.url, "verify_cert": True}, auth=admin).status_code == 200
    for url in (f"{provider.url}/", "http://127.0.0.1:1", "file:///etc/passwd", "nonsense"):
        answer = httpx.post(ping, json={"url": url}, auth=admin)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["message"]
    assert httpx.post(ping, json={"url": provider.url}).status_code == 401
