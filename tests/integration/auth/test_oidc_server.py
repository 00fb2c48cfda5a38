"""A real OpenID provider, npm's oidc-provider, driven through its own pages by a script."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.auth.options import OidcOptions, parse_options
from entrepot.auth.provider import CannotTell, Link
from entrepot.auth.providers.oidc import OidcProvider
from entrepot.auth.store import links
from entrepot.errors import NotAuthenticated
from tests.identity_servers import AUDIENCE, CLIENT, SECRET, OidcServer
from tests.integration.auth.desk import Office
from tests.integration.auth.visitor import Hall, Visitor, query_of, visiting


@pytest.fixture(scope="module")
def server() -> Iterator[OidcServer]:
    with OidcServer() as started:
        yield started


def options_of(server: OidcServer, **more: Any) -> OidcOptions:
    values: dict[str, Any] = {
        "name": "corp",
        "endpoint": server.url,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": "openid profile email groups offline_access",
        "extra_parameters": {"prompt": "consent"},
        "groups_claim": "groups",
        "admin_group": "registry-admins",
        "auto_onboard": True,
        "logout": True,
    }
    return OidcOptions(**values | more)


async def log_in(browser: Visitor, server: OidcServer, user: str, **more: Any) -> Any:
    """The whole way, with a fresh browser at the provider."""
    gone = await browser.leave()
    assert gone.status_code == 302, gone.text

    def there() -> str:
        with server.client() as outside:
            return server.log_in(outside, gone.headers["location"], user, **more)

    return await browser.come_back(await asyncio.to_thread(there))


def test_people_log_in_with_their_groups_and_out_again(office: Office, server: OidcServer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            back = await log_in(browser, server, "alice")
            assert (back.status_code, back.headers.get("location")) == (302, "/account"), back.text
            assert await browser.name(hall) == "alice"
            alice = await hall.desk.user("alice")
            assert (alice.email, alice.real_name, alice.administers) == ("alice@example.com", "Alice A", True)
            out = await browser.client.get("/c/oidc/logout")
            assert out.headers["location"].startswith(f"{server.url}/session/end?")
            assert query_of(out.headers["location"])["post_logout_redirect_uri"] == "http://registry.test/account"
            await log_in(browser, server, "bob")
            assert await browser.name(hall) == "bob"
            assert not (await hall.desk.user("bob")).administers

    visiting(office, [options_of(server)], work)


def test_the_refresh_token_tells_of_groups_later_and_of_people_who_are_gone(office: Office, server: OidcServer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            await log_in(browser, server, "bob")
            bob = await hall.desk.user("bob")
            [link] = await links.of_user(hall.desk.database, bob.id)
            provider = await hall.desk.directory.find("corp")
            assert provider is not None
            assert link.credential is not None
            person = await provider.look_up(link, hall.desk.box.open(link.credential))
            assert person is not None
            assert [group.name for group in person.groups or ()] == ["dev"]
            assert person.subject == link.subject == "bob"

    visiting(office, [options_of(server)], work)


def test_who_does_not_agree_is_not_let_in(office: Office, server: OidcServer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            back = await log_in(browser, server, "alice", agrees=False)
            assert back.status_code == 401
            assert "did not agree" in back.text

    visiting(office, [options_of(server)], work)


def test_its_keys_rotate_between_two_logins(office: Office, server: OidcServer) -> None:
    async def work(hall: Hall) -> None:
        async with hall.browser() as browser:
            assert (await log_in(browser, server, "alice")).status_code == 302
            await asyncio.to_thread(server.rotate)
            assert (await log_in(browser, server, "bob")).status_code == 302
            assert await browser.name(hall) == "bob"

    visiting(office, [options_of(server)], work)


def test_rest_takes_its_access_tokens(server: OidcServer) -> None:
    async def run() -> None:
        opaque = await asyncio.to_thread(server.access_token, "alice")
        jwt = await asyncio.to_thread(server.access_token, "bob", resource=AUDIENCE)
        assert (opaque.count("."), jwt.count(".")) == (0, 2)
        provider = OidcProvider(options_of(server, api_audiences=(AUDIENCE, "cli"), introspect=True))
        try:
            found = [await provider.of_bearer(opaque), await provider.of_bearer(jwt)]
            assert [one and one[0].subject for one in found] == ["alice", "bob"]
            assert await provider.of_bearer("an-opaque-token-of-nobody") is None
        finally:
            await provider.close()
        stricter = OidcProvider(options_of(server, api_audiences=("another",), introspect=True))
        try:
            for token in (opaque, jwt):
                with pytest.raises(NotAuthenticated, match="audience"):
                    await stricter.of_bearer(token)
        finally:
            await stricter.close()

    asyncio.run(run())


def test_a_refresh_token_of_before_is_refused(server: OidcServer) -> None:
    async def run() -> None:
        link = Link("corp", "alice", 1, "alice", False, False, 0, None)
        for gone in (True, False):
            provider = OidcProvider(options_of(server, disable_when_gone=gone))
            try:
                await provider.probe()
                if gone:
                    assert await provider.look_up(link, "made-up") is None
                else:
                    with pytest.raises(CannotTell):
                        await provider.look_up(link, "made-up")
            finally:
                await provider.close()

    asyncio.run(run())


def test_the_example_of_the_page_works() -> None:
    page = (Path(__file__).parents[3] / "docs" / "oidc.md").read_text("utf-8")
    [settings] = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [text] = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    configuration = tomllib.loads(text)
    site = configuration["external_url"]
    described = configuration["identity"]["oidc"][0]

    async def run(server: OidcServer) -> None:
        options = parse_options("oidc", described | {"endpoint": server.url})
        assert isinstance(options, OidcOptions)
        provider = OidcProvider(options)
        try:
            begun = await provider.begin(f"{site}/c/oidc/callback")

            def there() -> str:
                with server.client() as browser:
                    return server.log_in(browser, begun.url, "alice")

            back = query_of(await asyncio.to_thread(there))
            person, _ = await provider.finish(
                back["code"],
                redirect_uri=f"{site}/c/oidc/callback",
                nonce=begun.nonce,
                code_verifier=begun.code_verifier,
                issuer=back["iss"],
            )
            assert (person.name, person.email, person.is_admin) == ("alice", "alice@example.com", True)
            assert person.credential
        finally:
            await provider.close()

    with OidcServer(site, settings=json.loads(settings)) as server:
        asyncio.run(run(server))
