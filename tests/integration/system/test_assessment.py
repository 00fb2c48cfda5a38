"""The self-assessment on a real registry: one that has every weakness, and one that has none."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import bindparam, insert, update

from entrepot.app import App, assessor_of
from entrepot.auth.passwords import hash_password
from entrepot.auth.tables import identity_providers, personal_tokens, robots, users
from entrepot.database import query
from entrepot.errors import Unavailable
from entrepot.kit import clock
from entrepot.kit.finding import Check, Finding, Weakness
from entrepot.projects.tables import projects
from entrepot.system.assessment.model import Assessment
from entrepot.system.assessment.service import Assessor
from tests.integration.access.served import NOBODY, OWN, Served, basic, opened
from tests.integration.rig import PASSWORD, Bench, Rig
from tests.serving import free_port

T = TypeVar("T")
DAY = 86_400_000_000
_ADD_ROBOT = query(insert(robots).values({c.name: bindparam(c.name) for c in robots.columns if c.name != "id"}))
_ADD_TOKEN = query(
    insert(personal_tokens).values({c.name: bindparam(c.name) for c in personal_tokens.columns if c.name != "id"})
)
_ADD_PROVIDER = query(
    insert(identity_providers).values({c.name: bindparam(c.name) for c in identity_providers.columns if c.name != "id"})
)
_ADD_ADMIN = query(
    insert(users).values(
        name=bindparam("name"),
        password_hash=bindparam("password_hash"),
        is_admin=bindparam("is_admin"),
        is_disabled=bindparam("is_disabled"),
        credential_version=bindparam("credential_version"),
        created_at=bindparam("created_at"),
    )
)
_SET_PASSWORD = query(update(users).where(users.c.id == bindparam("user_id")).values(password_hash=bindparam("hash")))
_SET_PUBLIC = query(update(projects).values(is_public=bindparam("public"), quota=bindparam("limit")))
EVERYWHERE = json.dumps([{"kind": "project", "permissions": [["repository", "push"]]}]).encode()


async def assess(rig: Rig, config_file: Path | None = None, latest: str = "") -> Assessment:
    app: App = rig.app
    return await assessor_of(
        rig.config, rig.database, app.settings, app.box, config_file=config_file, latest=latest, is_outside=True
    ).assess()


def ids(assessment: Assessment) -> set[str]:
    return {finding.check for finding in assessment.findings}


def found(assessment: Assessment, check: str) -> Finding:
    (one,) = [finding for finding in assessment.findings if finding.check == check]
    return one


async def write(rig: Rig, statement: Any, **values: Any) -> None:
    await rig.database.write(lambda tx: tx.run(statement, **values))


async def add_robot(rig: Rig, name: str, **more: Any) -> None:
    now = clock.now_us()
    values = {
        "project_id": None,
        "description": "",
        "permissions": b"[]",
        "networks": b"[]",
        "created_at": now,
        "updated_at": now,
        "expires_at": now + 30 * DAY,
        "duration": 30,
        "is_disabled": 0,
        "credential_version": 1,
        "creator_kind": "user",
        "creator_id": 1,
        "last_used_at": now,
        "last_used_address": None,
    }
    await write(rig, _ADD_ROBOT, name=name, **{**values, **more})


async def add_token(rig: Rig, name: str, expires_at: int | None) -> None:
    await write(
        rig, _ADD_TOKEN, user_id=1, name=name, secret_hash=b"x", scope=b"null", created_at=1, expires_at=expires_at,
        last_used_at=None, last_used_address=None,
    )  # fmt: skip


async def add_provider(rig: Rig, name: str, secret: bytes | None, **options: Any) -> None:
    await write(
        rig, _ADD_PROVIDER, name=name, kind="ldap", options=json.dumps({"base_dn": "dc=x", **options}).encode(),
        secret=secret, created_at=1, updated_at=1,
    )  # fmt: skip


def make_certificate(folder: Path, *names: str, days: int = 90) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "tls.crt", folder / "tls.key"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    key_file.chmod(0o600)
    return cert_file, key_file


@pytest.fixture
def address() -> str:
    """Of a listener that does not run."""
    return f"0.0.0.0:{free_port()}"


def test_a_registry_that_has_every_weakness_is_told_all_of_them(run: Bench, tmp_path: Path, address: str) -> None:
    cert_file, key_file = make_certificate(tmp_path, "other.example.com", days=-1)
    key_file.chmod(0o644)
    config_file = tmp_path / "entrepot.toml"
    config_file.write_text('[[identity.ldap]]\nname = "corp"\nbind_password = "hidden-in-the-file"\n')
    config_file.chmod(0o644)
    run.folder.chmod(0o755)
    (run.folder / "keys" / "token.pem").chmod(0o644)
    ldap = {"name": "corp", "url": "ldap://127.0.0.1:1", "base_dn": "dc=x", "bind_password": "hidden-in-the-file"}
    weak_settings = {
        "self_registration": True, "entrepot_password_classes": 0, "pull_audit_log_disable": True, "read_only": True,
    }  # fmt: skip

    async def work(rig: Rig) -> Assessment:
        await write(rig, _SET_PASSWORD, user_id=1, hash=hash_password("Harbor12345"))
        await write(rig, _SET_PUBLIC, public=1, limit=-1)
        for number in range(6):
            await write(
                rig, _ADD_ADMIN, name=f"admin-{number}", password_hash="x", is_admin=1, is_disabled=0,
                credential_version=1, created_at=1,
            )  # fmt: skip
        await add_robot(rig, "forever", expires_at=None, duration=-1, description="<b>of the build</b>")
        await add_robot(rig, "forgotten", last_used_at=None, created_at=clock.now_us() - 91 * DAY)
        await add_robot(rig, "wide", permissions=EVERYWHERE)
        await add_token(rig, "laptop", None)
        await add_provider(rig, "lost", b"sealed with another key", url="ldaps://d", verify_certificate=False)
        return await assess(rig, config_file, latest="99.0")

    assessment = run(
        work,
        ENTREPOT_LISTEN=address,
        ENTREPOT_EXTERNAL_URL="https://registry.example.com",
        ENTREPOT_TLS_CERT_FILE=str(cert_file),
        ENTREPOT_TLS_KEY_FILE=str(key_file),
        ENTREPOT_IDENTITY_LDAP=json.dumps([ldap]),
        ENTREPOT_SETTINGS=json.dumps(weak_settings),
        ENTREPOT_LOG_LEVEL="debug",
        ENTREPOT_LOG_ACCESS="false",
    )
    # What has a limit of the machine's own, needs a server that runs, or excludes something else that is here.
    elsewhere = {
        "tls-missing", "https-optional", "tls-grade", "certificate-not-yet-valid", "certificate-weak", "catalog-open",
        "disk-full", "inodes-full", "database-room", "clock-skew", "schema-version", "python-version",
    }  # fmt: skip
    everything = {
        "hsts-missing", "certificate-expiry", "certificate-name", "password-well-known", "administrators-many",
        "tokens-without-expiry", "password-rules-weak", "provider-without-tls", "provider-unverified",
        "projects-public", "self-registration", "metrics-open", "documents-open", "rate-limits-missing",
        "administration-from-everywhere", "robots-without-expiry", "robots-unused", "robots-push-everywhere",
        "projects-without-quota", "default-quota-missing", "data-folder-open", "key-files-open", "tls-key-open",
        "config-file-open", "config-secrets-inline", "secrets-unreadable", "version-outdated", "log-debug",
        "log-access-off", "audit-pulls-off", "read-only",
    }  # fmt: skip
    assert ids(assessment) - elsewhere == everything
    assert assessment.checks == len(everything | elsewhere)
    assert assessment.findings[0].severity == "critical"
    assert "hidden-in-the-file" not in str(assessment)
    assert found(assessment, "password-well-known").resources == ("admin",)
    assert found(assessment, "password-well-known").remedy == "entrepot user password admin"
    assert found(assessment, "administrators-many").total == 7
    assert found(assessment, "robots-without-expiry").resources == ("robot$forever (id 1: <b>of the build</b>)",)
    assert [r.split(" ")[0] for r in found(assessment, "robots-unused").resources] == ["robot$forgotten"]
    assert [r.split(" ")[0] for r in found(assessment, "robots-push-everywhere").resources] == ["robot$wide"]
    assert found(assessment, "provider-without-tls").resources == ("corp (ldap)",)
    assert found(assessment, "provider-unverified").resources == ("lost (ldap)",)
    assert found(assessment, "secrets-unreadable").resources == ("identity provider lost",)


def test_a_registry_that_has_none_is_told_nothing(run: Bench, tmp_path: Path, address: str) -> None:
    cert_file, key_file = make_certificate(tmp_path, "registry.example.com")
    config_file = tmp_path / "entrepot.toml"
    config_file.write_text("[log]\naccess = true\n")

    async def work(rig: Rig) -> Assessment:
        await write(rig, _SET_PUBLIC, public=0, limit=2**30)
        await add_robot(rig, "ci")
        await add_robot(rig, "disabled", is_disabled=1, expires_at=None, last_used_at=1, permissions=EVERYWHERE)
        await add_robot(rig, "ended", expires_at=1, last_used_at=1, permissions=EVERYWHERE)
        await add_token(rig, "laptop", clock.now_us() + DAY)
        await add_provider(rig, "corp", rig.app.box.seal("x"), url="ldaps://d")
        return await assess(rig, config_file, latest="0.0.1")

    assessment = run(
        work,
        ENTREPOT_LISTEN=address,
        ENTREPOT_EXTERNAL_URL="https://registry.example.com",
        ENTREPOT_HTTPS_ONLY="true",
        ENTREPOT_TLS_CERT_FILE=str(cert_file),
        ENTREPOT_TLS_KEY_FILE=str(key_file),
        ENTREPOT_SETTINGS=json.dumps({"storage_per_project": 2**30, "entrepot_admin_addresses_allow": "10.0.0.0/8"}),
        ENTREPOT_METRICS_LISTEN="127.0.0.1:9999",
        ENTREPOT_API_DOCUMENTS_LOGIN="true",
        **{f"ENTREPOT_RATE_LIMITS_{name}": "600/m" for name in ("PULLS", "PUSHES", "REST", "LOGINS")},
    )
    of_the_machine = {"disk-full", "inodes-full", "database-room", "python-version"}
    assert ids(assessment) - of_the_machine == set()
    assert [skipped.check for skipped in assessment.skipped] == ["tls-grade"], "nothing runs"
    assert assessment.tls is None


def test_plain_http_over_a_network_is_found(run: Bench, address: str) -> None:
    async def work(rig: Rig) -> None:
        assert found(await assess(rig), "tls-missing").severity == "critical"

    run(work, ENTREPOT_LISTEN=address)


def test_a_trial_on_one_machine_has_nothing_that_is_bad(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        assessment = await assess(rig)
        machine = {"disk-full", "inodes-full"}
        assert {f.check for f in assessment.findings if f.severity in {"critical", "high", "medium"}} - machine == set()

    run(work, ENTREPOT_LISTEN=f"127.0.0.1:{free_port()}")


def test_many_of_a_kind_are_counted_and_some_are_named(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        for number in range(30):
            await add_robot(rig, f"r{number}", expires_at=None)
        one = found(await assess(rig), "robots-without-expiry")
        assert (len(one.resources), one.total) == (20, 30)

    run(work, ENTREPOT_LISTEN=f"127.0.0.1:{free_port()}")


def test_a_table_that_is_missing_is_a_finding_and_the_others_go_on(run: Bench) -> None:
    with sqlite3.connect(run.database_file) as connection:
        connection.execute("DROP TABLE personal_tokens")
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    async def work(rig: Rig) -> None:
        assessment = await assess(rig)
        assert "could not be checked" in found(assessment, "tokens-without-expiry").title
        assert found(assessment, "schema-version").severity == "high"
        assert found(assessment, "documents-open").severity == "info"

    run(work, ENTREPOT_LISTEN=f"127.0.0.1:{free_port()}")


def test_a_data_folder_that_nobody_can_ask_is_a_finding(run: Bench, tmp_path: Path) -> None:
    async def work(rig: Rig) -> None:
        gone = rig.config.model_copy(update={"data": tmp_path / "gone"})
        assessment = await assessor_of(gone, rig.database, rig.app.settings, None).assess()
        for check in ("disk-full", "data-folder-open", "clock-skew"):
            assert "could not be checked" in found(assessment, check).title
            assert "gone" in found(assessment, check).reason

    run(work, ENTREPOT_LISTEN=f"127.0.0.1:{free_port()}")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_key_of_somebody_else_is_found(run: Bench) -> None:
    os.chown(run.folder / "keys" / "token.pem", 12_345, -1)

    async def work(rig: Rig) -> None:
        assert "owner 12345" in found(await assess(rig), "key-files-open").resources[0]

    run(work, ENTREPOT_LISTEN=f"127.0.0.1:{free_port()}")


class _Late(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def late() -> Iterator[str]:
    """A web server whose clock is years behind."""
    server = HTTPServer(("127.0.0.1", 0), _Late)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_clock_of_an_openid_provider_is_compared(run: Bench, late: str) -> None:
    oidc = [{"name": "sso", "endpoint": late, "client_id": "x"}]

    async def work(rig: Rig) -> None:
        skew = found(await assess(rig), "clock-skew")
        assert skew.severity == "high"
        assert late in skew.resources[0]
        assert "behind" in skew.resources[0]
        asked_by_the_server = await assessor_of(rig.config, rig.database, rig.app.settings, rig.app.box).assess()
        assert "clock-skew" not in ids(asked_by_the_server), "the server asks nobody"

    run(work, ENTREPOT_LISTEN=f"127.0.0.1:{free_port()}", ENTREPOT_IDENTITY_OIDC=json.dumps(oidc))


# the run itself


async def _no_tls() -> None:
    return None


def check(id_: str, run: Callable[[], Awaitable[list[Finding] | None]], severity: Any = "low") -> Check:
    return Check(Weakness(id=id_, severity=severity, title=id_.title(), reason="R.", remedy="Do."), run)


def test_checks_that_fail_or_hang_harm_no_others() -> None:
    async def fails() -> None:
        raise RuntimeError("secret detail")

    async def refuses() -> None:
        raise Unavailable("The store is away.")

    async def hangs() -> None:
        await asyncio.sleep(60)

    async def works() -> list[Finding]:
        return [Finding(check="works", severity="info", title="T", reason="R.", remedy="Do.")]

    checks = [
        check("fails", fails, "critical"),
        check("refuses", refuses),
        check("hangs", hangs),
        check("works", works),
    ]
    assessment = asyncio.run(Assessor(checks, "1", _no_tls, seconds=0.05).assess())
    assert [(f.check, f.severity) for f in assessment.findings] == [
        ("fails", "high"), ("refuses", "low"), ("hangs", "low"), ("works", "info"),
    ]  # fmt: skip
    assert "secret detail" not in str(assessment)
    assert "The store is away." in found(assessment, "refuses").reason
    assert "0.05 seconds" in found(assessment, "hangs").reason


def test_whoever_asks_at_once_gets_the_same_run() -> None:
    runs = 0

    async def counts() -> list[Finding]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return []

    async def work() -> None:
        assessor = Assessor([check("counts", counts)], "1", _no_tls)
        answers = await asyncio.gather(*(assessor.assess() for _ in range(10)))
        assert all(answer is answers[0] for answer in answers)

    asyncio.run(work())
    assert runs == 1


def test_two_checks_of_one_name_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="one id"):
        Assessor([check("x", _no_tls), check("x", _no_tls)], "1", _no_tls)


# over REST

PATH = f"{OWN}/assessment"


def over_rest(run: Bench, work: Callable[[Served], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with opened(run.config(ENTREPOT_LISTEN=f"127.0.0.1:{free_port()}")) as served:
            return await work(served)

    return asyncio.run(inside())


def test_administrators_and_auditors_are_answered_and_nobody_else(run: Bench) -> None:
    async def work(served: Served) -> None:
        auditor = await served.user("auditor")
        await served.done("PUT", f"{OWN}/users/{auditor}/auditor", json={"auditor_flag": True})
        await served.user("somebody")
        assert (await served.ask("GET", PATH, NOBODY)).status_code == 401
        assert (await served.ask("GET", PATH, basic("somebody"))).status_code == 403
        assert (await served.ask("GET", PATH, basic("auditor"))).status_code == 200
        answer = (await served.done("GET", PATH)).json()
        assert answer["counts"]["low"] == sum(f["severity"] == "low" for f in answer["findings"])
        assert answer["checks"] > 40
        assert {"check", "severity", "title", "reason", "remedy", "resources", "total"} == set(answer["findings"][0])
        assert PASSWORD not in str(answer)

    over_rest(run, work)


def test_people_are_shown_a_page(run: Bench) -> None:
    async def work(served: Served) -> None:
        robot = {"name": "evil", "level": "system", "duration": -1, "description": "<script>alert(1)</script>"}
        pull = {"kind": "project", "namespace": "*", "access": [{"resource": "repository", "action": "pull"}]}
        await served.done("POST", "/api/v2.0/robots", json={**robot, "permissions": [pull]})
        for more in ({"params": {"format": "html"}}, {"headers": {"accept": "text/html,*/*;q=0.8"}}):
            answer = await served.done("GET", PATH, **more)
            assert answer.headers["content-type"].startswith("text/html")
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "&lt;script&gt;alert(1)" in answer.text
            assert "<script" not in answer.text
        for more in ({}, {"params": {"format": "json"}, "headers": {"accept": "text/html"}}):
            assert (await served.done("GET", PATH, **more)).headers["content-type"] == "application/json"
        assert (await served.ask("GET", PATH, params={"format": "pdf"})).status_code == 400

    over_rest(run, work)
