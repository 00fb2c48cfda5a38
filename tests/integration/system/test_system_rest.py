"""Ping, health, system info, configurations over REST."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from entrepot.errors import Unavailable
from entrepot.settings.model import DEFAULTS, SETTINGS
from entrepot.settings.service import Settings
from entrepot.system.health import HealthChecker
from entrepot.system.info import SystemFacts, SystemInformation
from entrepot.system.rest import SystemRest
from tests.integration.audit.served import Served, serve

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
PROTECTED = {
    "has_ca_root", "project_creation_restriction", "harbor_version", "external_url", "registry_url", "read_only",
    "registry_storage_provider_name", "notification_enable", "current_time",
}  # fmt: skip
Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Serves the system's routes; ``facts`` and ``overrides`` may be given."""

    def go(work: Callable[[Served], Awaitable[None]], overrides: dict[str, object] | None = None, **facts: Any) -> None:
        async def prepared(served: Served) -> None:
            settings = Settings(served.database, overrides or {})

            async def broken() -> None:
                raise Unavailable("The store is away.")

            health = HealthChecker({"database": served.database.probe, "storage": broken})
            given = SystemFacts(**{"version": "1.2.3", "data": tmp_path, "driver": "filesystem", **facts})
            served.routes = SystemRest(SystemInformation(given, settings, health), settings).routes()
            await work(served)

        serve(tmp_path, prepared)

    return go


def test_ping_answers_in_plain_text(run: Run) -> None:
    async def work(served: Served) -> None:
        answer = await served.ask("/ping", "")
        assert (answer.status_code, answer.text) == (200, "Pong")
        assert answer.headers["content-type"].startswith("text/plain")

    run(work)


def test_health_is_a_200_that_names_what_is_not_well(run: Run) -> None:
    async def work(served: Served) -> None:
        answer = await served.ask("/health", "")
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "unhealthy",
            "components": [
                {"name": "core", "status": "healthy"},
                {"name": "database", "status": "healthy"},
                {"name": "registry", "status": "unhealthy", "error": "The store is away."},
            ],
        }

    run(work)


def test_whoever_is_not_known_learns_only_what_a_login_page_needs(run: Run) -> None:
    async def work(served: Served) -> None:
        assert (await served.ask("/systeminfo", "")).json() == {
            "auth_mode": "db_auth",
            "primary_auth_mode": False,
            "self_registration": False,
            "banner_message": "",
            "oidc_provider_name": "",
        }
        known = (await served.ask("/systeminfo", "bob")).json()
        assert set(known) >= PROTECTED
        assert known["harbor_version"] == "v2.14.0-entrepot-1.2.3"
        assert known["has_ca_root"] is False
        assert known["read_only"] is False
        assert known["registry_storage_provider_name"] == "filesystem"
        assert known["external_url"] == "https://registry.example.com"
        assert known["registry_url"] == "registry.example.com"
        assert known["current_time"].endswith("Z")
        datetime.fromisoformat(known["current_time"])

    run(work)


def test_the_configured_url_and_the_settings_are_told(run: Run) -> None:
    async def work(served: Served) -> None:
        known = (await served.ask("/systeminfo", "bob")).json()
        assert known["external_url"] == "http://hub.example.org:8080"
        assert known["registry_url"] == "hub.example.org:8080"
        assert known["read_only"] is True

    run(work, {"read_only": True}, external_url="http://hub.example.org:8080")


def test_the_room_is_told_to_administrators(run: Run) -> None:
    async def work(served: Served) -> None:
        (volume,) = (await served.ask("/systeminfo/volumes")).json()["storage"]
        assert volume["total"] > volume["free"] > 0
        assert (await served.ask("/systeminfo/volumes", "bob")).status_code == 403
        assert (await served.ask("/systeminfo/volumes", "")).status_code == 401

    run(work)


def test_a_data_folder_that_is_gone_is_no_failure_of_ours(run: Run) -> None:
    async def work(served: Served) -> None:
        assert (await served.ask("/systeminfo/volumes")).status_code == 503

    run(work, data=Path("/no/such/folder"))


def test_without_a_certificate_there_is_none_to_download(run: Run, tmp_path: Path) -> None:
    async def work(served: Served) -> None:
        assert (await served.ask("/systeminfo/getcert", "")).status_code == 404

    run(work)
    run(work, ca_file=tmp_path / "none.crt")
    (tmp_path / "key.pem").write_text(KEY)
    run(work, ca_file=tmp_path / "key.pem")


def test_the_certificate_is_downloaded_and_never_a_key_beside_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(f"{KEY}\n{CERTIFICATE}\n{CERTIFICATE}\n")

    async def work(served: Served) -> None:
        answer = await served.ask("/systeminfo/getcert", "")
        assert answer.text == f"{CERTIFICATE}\n{CERTIFICATE}\n"
        assert answer.headers["content-disposition"] == "attachment; filename=ca.crt"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert (await served.ask("/systeminfo", "bob")).json()["has_ca_root"] is True

    run(work, ca_file=tmp_path / "ca.crt")


def test_every_setting_but_the_secrets_is_shown_with_whether_it_can_be_changed(run: Run) -> None:
    async def work(served: Served) -> None:
        shown = (await served.ask("/configurations")).json()
        assert set(shown) == {key for key, setting in SETTINGS.items() if setting.kind != "secret"}
        assert shown["read_only"] == {"value": False, "editable": True}
        assert shown["session_timeout"] == {"value": 90, "editable": False}
        assert shown["auth_mode"] == {"value": "db_auth", "editable": True}
        assert shown["scan_all_policy"] == DEFAULTS["scan_all_policy"]
        assert (await served.ask("/configurations", "auditor")).status_code == 200
        assert (await served.ask("/configurations", "bob")).status_code == 403
        assert (await served.ask("/configurations", "")).status_code == 401

    run(work, {"session_timeout": 90})


def test_settings_are_changed_all_or_none(run: Run) -> None:
    async def work(served: Served) -> None:
        async def put(name: str = "admin", **values: Any) -> int:
            return (await served.ask("/configurations", name, "PUT", json=values)).status_code

        async def shown() -> Any:
            return (await served.ask("/configurations")).json()

        before = await shown()
        assert await put(read_only=True, token_expiration="long") == 400
        assert await put(read_only=True, session_timeout=5) == 403  # fixed by the operator
        assert await put(read_only=True, auth_mode="ldap_auth") == 400
        assert await put("bob", read_only=True) == 403
        assert await put("auditor", read_only=True) == 403
        assert await put("", read_only=True) == 401
        assert await shown() == before
        assert await put(read_only=True, token_expiration=45, unknown={"a": [1]}, robot_name_prefix=None) == 200
        after = await shown()
        assert after["read_only"]["value"] is True
        assert after["token_expiration"]["value"] == 45

    run(work, {"session_timeout": 90})


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"1", b'{"session_timeout": 1e999}', b'{"a": "\\ud800"}']
)
def test_a_body_that_is_no_object_of_settings_is_never_a_failure_of_ours(run: Run, content: bytes) -> None:
    async def work(served: Served) -> None:
        answer = await served.ask("/configurations", "admin", "PUT", content=content)
        assert answer.status_code < 500
        if not content.startswith(b'{"a"'):
            assert answer.status_code in {400, 422}

    run(work)


def test_what_is_answered_is_what_the_document_says(run: Run) -> None:
    async def work(served: Served) -> None:
        document = (await served.ask("/openapi.json")).json()
        assert "text/plain" in document["paths"]["/api/ping"]["get"]["responses"]["200"]["content"]
        assert document["paths"]["/api/configurations"]["get"]["x-permission"] == "system: configuration:read"
        assert "/api/internalconfig" not in document["paths"]
        answers = await asyncio.gather(*(served.ask(path) for path in ("/internalconfig", "/pong")))
        assert [answer.status_code for answer in answers] == [404, 404]

    run(work)
