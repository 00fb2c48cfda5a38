"""What lists show of manifests: worked out at a push, kept true by what happens later, the same after a migration."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select

from entrepot.database import migrate, query
from entrepot.oci import digest as digests
from entrepot.oci.mediatype import OCI_INDEX
from entrepot.registry.tables import manifests, repositories
from tests.integration.registry.recount import usage
from tests.integration.rig import Bench, Rig, child, descriptor, image, index, name_of

APP = name_of("team/app")
OTHER = name_of("team/other")
EMPTY = descriptor(b"{}", "application/vnd.oci.empty.v1+json")

_ALL = query(
    select(
        repositories.c.path,
        manifests.c.digest,
        manifests.c.kind,
        manifests.c.total_size,
        manifests.c.accessory_of,
        manifests.c.accessory_kind,
        manifests.c.is_listed,
    ).select_from(manifests.join(repositories))
)


class Shown(msgspec.Struct, frozen=True):
    kind: str
    total_size: int
    accessory_of: str | None
    accessory_kind: str | None
    is_listed: bool


async def shown(rig: Rig, payload: bytes, path: str = "app") -> Shown:
    for row in await rig.database.all(_ALL):
        if (row[0], row[1]) == (path, digests.pack(digests.of(payload))):
            subject = digests.unpack(row[4]) if row[4] else None
            return Shown(row[2], row[3], subject, row[5], bool(row[6]))
    raise AssertionError("no such manifest")


async def listed(rig: Rig, *payloads: bytes) -> list[bool]:
    return [(await shown(rig, payload)).is_listed for payload in payloads]


async def push(rig: Rig, payload: bytes, *tags: str, name: str = "team/app") -> str:
    return await rig.push(name, digests.of(payload), payload, tags=tags)


async def images(rig: Rig, *texts: str) -> list[bytes]:
    """Untagged images."""
    found = []
    for text in texts:
        config, layer = f"config {text}".encode(), f"layer {text}".encode()
        await rig.push_blob("team/app", config)
        await rig.push_blob("team/app", layer)
        payload = image(config, [layer])
        await push(rig, payload)
        found.append(payload)
    return found


def about(subject: bytes, artifact_type: str, text: str = "") -> bytes:
    return image(EMPTY, [], subject=child(subject), artifactType=artifact_type, annotations={"text": text})


def cosign_tag(subject: bytes, ending: str = "sig") -> str:
    return digests.of(subject).replace(":", "-") + f".{ending}"


# indexes and their children


def test_an_untagged_manifest_is_listed_until_an_index_lists_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        one, two, alone = await images(rig, "1", "2", "3")
        assert await listed(rig, one, two, alone) == [True, True, True]
        both = index([child(one), child(two)])
        await push(rig, both, "latest")
        assert await listed(rig, one, two, alone, both) == [False, False, True, True]

    run(work)


def test_a_tagged_child_is_listed_as_long_as_it_has_a_tag(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        (one,) = await images(rig, "1")
        await push(rig, one, "amd64", "x86")
        await push(rig, index([child(one)]), "latest")
        assert await listed(rig, one) == [True]
        await rig.tags.delete(rig.admin, APP, "amd64")
        assert await listed(rig, one) == [True]
        await rig.tags.delete(rig.admin, APP, "x86")
        assert await listed(rig, one) == [False]
        await rig.tags.create(rig.admin, APP, digests.of(one), "again")
        assert await listed(rig, one) == [True]

    run(work)


def test_a_tag_that_moves_away_hides_a_child_and_shows_the_other(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        one, two = await images(rig, "1", "2")
        await push(rig, index([child(one), child(two)]), "latest")
        await push(rig, one, "tag")
        assert await listed(rig, one, two) == [True, False]
        await push(rig, two, "tag")
        assert await listed(rig, one, two) == [False, True]
        await push(rig, two, "tag")
        assert await listed(rig, one, two) == [False, True]

    run(work)


def test_an_untagged_index_stays_listed_and_hides_its_children(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        (one,) = await images(rig, "1")
        old, new = index([child(one)]), index([child(one)], annotations={"a": "b"})
        await push(rig, old, "latest")
        await push(rig, new, "latest")
        assert await listed(rig, one, old, new) == [False, True, True]

    run(work)


def test_deleting_an_index_lists_its_children_again_unless_another_lists_them(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        one, two = await images(rig, "1", "2")
        first, second = index([child(one)]), index([child(one), child(two)])
        await push(rig, first, "a")
        await push(rig, second, "b")
        assert await listed(rig, one, two) == [False, False]
        await rig.manifests.delete(rig.admin, APP, digests.of(second))
        assert await listed(rig, one, two) == [False, True]
        await rig.manifests.delete(rig.admin, APP, digests.of(first))
        assert await listed(rig, one, two) == [True, True]

    run(work)


def test_an_index_within_an_index_is_hidden_with_its_children(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        (one,) = await images(rig, "1")
        inner = index([child(one)])
        outer = index([child(inner, OCI_INDEX)])
        await push(rig, inner)
        await push(rig, outer, "latest")
        assert await listed(rig, one, inner, outer) == [False, False, True]
        await rig.manifests.delete(rig.admin, APP, digests.of(outer))
        assert await listed(rig, one, inner) == [False, True]

    run(work)


def test_an_index_hides_nothing_in_another_repository(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        (one,) = await images(rig, "1")
        await rig.manifests.copy(rig.admin, OTHER, APP, digests.of(one))
        await push(rig, index([child(one)]), "latest")
        assert not (await shown(rig, one)).is_listed
        assert (await shown(rig, one, "other")).is_listed

    run(work)


def test_children_that_come_after_their_index_are_hidden_too(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        payload = image(b"{}", [])
        await push(rig, index([child(payload)]), "latest")
        await push(rig, payload)
        assert await listed(rig, payload) == [False]

    run(work, ENTREPOT_REGISTRY_SPARSE="true")


# accessories


@pytest.mark.parametrize("is_first", [True, False], ids=["accessory first", "subject first"])
@pytest.mark.parametrize(
    ("artifact_type", "kind"),
    [
        ("application/vnd.dev.sigstore.bundle.v0.3+json", "signature.cosign"),
        ("application/vnd.dev.cosign.artifact.sig.v1+json", "signature.cosign"),
        ("application/vnd.cncf.notary.signature", "signature.notation"),
        ("application/vnd.goharbor.harbor.sbom.v1", "sbom.harbor"),
        ("application/vnd.acme.note", "subject.accessory"),
    ],
)
def test_what_has_a_subject_is_its_accessory(run: Bench, artifact_type: str, kind: str, is_first: bool) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"{}")
        config, layer = b"config", b"layer"
        await rig.push_blob("team/app", config)
        await rig.push_blob("team/app", layer)
        subject = image(config, [layer])
        accessory = about(subject, artifact_type)
        for payload in (accessory, subject) if is_first else (subject, accessory):
            await push(rig, payload)
        found = await shown(rig, accessory)
        assert (found.accessory_of, found.accessory_kind) == (digests.of(subject), kind)
        assert await listed(rig, subject, accessory) == [True, False]
        await push(rig, accessory, "tagged")
        assert await listed(rig, subject, accessory) == [True, False]
        await rig.manifests.delete(rig.admin, APP, digests.of(subject))
        assert await listed(rig, accessory) == [False]

    run(work)


@pytest.mark.parametrize("is_first", [True, False], ids=["signature first", "subject first"])
@pytest.mark.parametrize(
    ("ending", "kind"), [("sig", "signature.cosign"), ("att", "subject.accessory"), ("sbom", "subject.accessory")]
)
def test_what_a_tag_of_cosign_names_is_an_accessory(run: Bench, ending: str, kind: str, is_first: bool) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"{}")
        subject, signature = image(EMPTY, [], annotations={"a": "b"}), image(EMPTY, [EMPTY])
        order = [(subject, "v1"), (signature, cosign_tag(subject, ending))]
        for payload, tag in reversed(order) if is_first else order:
            await push(rig, payload, tag)
        found = await shown(rig, signature)
        assert (found.accessory_of, found.accessory_kind) == (digests.of(subject), kind)
        assert await listed(rig, subject, signature) == [True, False]

    run(work)


def test_a_manifest_becomes_an_accessory_with_a_later_tag(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        (subject,) = await images(rig, "1")
        await rig.push_blob("team/app", b"{}")
        signature = image(EMPTY, [])
        await push(rig, signature)
        assert await listed(rig, signature) == [True]
        await push(rig, signature, cosign_tag(subject))
        assert (await shown(rig, signature)).accessory_of == digests.of(subject)
        assert await listed(rig, signature) == [False]

    run(work)


def test_an_accessory_stays_one_when_it_is_pushed_again_without_its_tag(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        (subject,) = await images(rig, "1")
        await rig.push_blob("team/app", b"{}")
        signature = image(EMPTY, [])
        await push(rig, signature, cosign_tag(subject))
        await push(rig, signature)
        assert await listed(rig, signature) == [False]

    run(work)


def test_a_tag_of_cosign_that_is_set_by_hand_makes_an_accessory_too(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        (subject,) = await images(rig, "1")
        await rig.push_blob("team/app", b"{}")
        signature = image(EMPTY, [])
        await push(rig, signature)
        await rig.tags.create(rig.admin, APP, digests.of(signature), cosign_tag(subject))
        assert (await shown(rig, signature)).accessory_of == digests.of(subject)
        assert await listed(rig, signature) == [False]

    run(work)


@pytest.mark.parametrize("way", ["deleted", "moved"])
def test_what_loses_its_tag_of_cosign_is_no_accessory_any_more(run: Bench, way: str) -> None:
    async def work(rig: Rig) -> None:
        (subject,) = await images(rig, "1")
        await rig.push_blob("team/app", b"{}")
        old, new = image(EMPTY, []), image(EMPTY, [EMPTY])
        await push(rig, old, cosign_tag(subject))
        if way == "deleted":
            await rig.tags.delete(rig.admin, APP, cosign_tag(subject))
        else:
            await push(rig, new, cosign_tag(subject))
        found = await shown(rig, old)
        assert (found.accessory_of, found.accessory_kind, found.is_listed) == (None, None, True)

    run(work)


# sizes and kinds


def test_the_size_is_that_of_the_manifest_and_all_that_it_names(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        one, two = await images(rig, "1", "22")
        both = index([child(one), child(two)])
        await push(rig, both, "latest")
        first = len(one) + len(b"config 1") + len(b"layer 1")
        second = len(two) + len(b"config 22") + len(b"layer 22")
        assert (await shown(rig, one)).total_size == first
        assert (await shown(rig, both)).total_size == len(both) + first + second

    run(work)


def test_sizes_that_documents_only_claim_break_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"{}")
        huge = {**descriptor(b"{}"), "size": 2**63 - 1}
        payload = image(huge, [{**descriptor(b"x"), "size": 2**63 - 1, "urls": ["https://example.com"]}])
        await push(rig, payload)
        twice = index([child(payload)])
        await push(rig, twice)
        await push(rig, index([child(payload), child(twice, OCI_INDEX)]))
        found = await shown(rig, payload)
        assert 2**50 <= found.total_size < 2**51
        more = image({**descriptor(b"{}"), "size": 2**70}, [])
        await push(rig, more)
        assert (await shown(rig, more)).total_size == 2**50

    run(work)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (image(descriptor(b"{}", "application/vnd.cncf.helm.config.v1+json"), []), "CHART"),
        (image(descriptor(b"{}", "application/vnd.oci.image.config.v1+json"), []), "IMAGE"),
        (image(EMPTY, []), "UNKNOWN"),
        (image(EMPTY, [], artifactType="application/vnd.acme.rocket.config.v1+json"), "ROCKET"),
        (index([]), "IMAGE"),
    ],
)
def test_the_kind_is_told_from_the_document(run: Bench, payload: bytes, kind: str) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"{}")
        await push(rig, payload)
        assert (await shown(rig, payload)).kind == kind

    run(work)


# migration


OLD_TABLES = {
    "users": "id, name, password_hash, is_admin, is_disabled, credential_version, created_at",
    "projects": "id, name, is_public, created_at",
    "repositories": "id, project_id, path, created_at",
    "blobs": "*",
    "repository_blobs": "*",
    "manifests": "id, repository_id, digest, media_type, artifact_type, config_type, size, subject, referrer,"
    " created_at",
    "manifest_payloads": "*",
    "manifest_blobs": "*",
    "manifest_children": "*",
    "tags": "*",
    "uploads": "*",
    "journal": "id, kind, occurred_at, principal, client_address, user_agent, request_id, body",
}


def upgrade_to(path: Path, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.upgrade(config, revision)


async def fill(rig: Rig) -> None:
    chance = random.Random(7)
    for name in ("team/app", "team/other", "else/app"):
        await rig.push_blob(name, b"{}")
        pushed = []
        for number in range(8):
            text = f"{number % 5} in {name[:4]}"
            config, layer = f"config {text}".encode(), b"layer" * (number % 3 + 1)
            await rig.push_blob(name, config)
            await rig.push_blob(name, layer)
            payload = image(config, [layer, layer])
            await push(rig, payload, *(["v1", f"t{number}"][: number % 3]), name=name)
            pushed.append(payload)
        both = index([child(chance.choice(pushed)) for _ in range(3)])
        await push(rig, both, "all", name=name)
        await push(rig, index([child(both, OCI_INDEX), child(pushed[0])]), name=name)
        await push(rig, index([descriptor(b"{}"), descriptor(b"layer")]), "cache", name=name)
        await push(rig, about(pushed[1], "application/vnd.cncf.notary.signature"), name=name)
        await push(rig, about(both, "application/vnd.acme.note"), "note", name=name)
        await push(rig, image(EMPTY, []), cosign_tag(both), name=name)
        chart = image(descriptor(b"{}", "application/vnd.cncf.helm.config.v1+json"), [])
        await push(rig, chart, "chart", name=name)
        await rig.push_blob(name, b"not named")
        far = {**descriptor(b"far"), "size": 2**63 - 1, "urls": ["https://example.com/far"]}
        distant = image(EMPTY, [far, {**far, "digest": digests.of(b"farther")}])
        await push(rig, distant, name=name)
        await push(rig, index([child(distant)]), name=name)


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(statement).fetchall()
    connection.close()
    return found


SHOWN = "SELECT id, kind, total_size, accessory_of, accessory_kind, is_listed FROM manifests ORDER BY id"
USED = "SELECT project_id, digest, size, uses FROM project_content ORDER BY project_id, digest"
SUMS = "SELECT p.name, coalesce(u.used, 0) FROM projects p LEFT JOIN project_usage u ON u.project_id = p.id ORDER BY 1"


def old_copy(source: Path, target: Path) -> None:
    """What ``source`` holds as the first version of the program would have kept it."""
    upgrade_to(target, "0001")
    connection = sqlite3.connect(target)
    connection.execute("ATTACH DATABASE ? AS new", (str(source),))
    for table, columns in OLD_TABLES.items():
        names = "" if columns == "*" else f"({columns})"
        connection.execute(f"INSERT INTO main.{table} {names} SELECT {columns} FROM new.{table}")
    connection.commit()
    connection.close()


def test_migrating_works_out_what_a_push_would_have(run: Bench, tmp_path: Path) -> None:
    run(fill)
    old = tmp_path / "old.db"
    old_copy(run.database_file, old)
    migrate.upgrade(old)
    assert migrate.current(old) == migrate.HEAD
    assert len(rows(old, SHOWN)) > 40
    assert rows(old, SHOWN) == rows(run.database_file, SHOWN)
    assert rows(old, USED) == rows(run.database_file, USED)
    assert rows(old, SUMS) == rows(run.database_file, SUMS)
    assert rows(old, "PRAGMA foreign_key_check") == []


def test_a_migrated_registry_goes_on_counting(run: Bench, tmp_path: Path) -> None:
    run(fill)
    old = tmp_path / "old.db"
    old_copy(run.database_file, old)
    migrate.upgrade(old)
    for path in run.folder.glob("entrepot.db*"):
        path.unlink()
    old.rename(run.database_file)

    async def work(rig: Rig) -> None:
        for name in ("team", "else"):
            assert (await usage(rig, name)).used > 0
        (payload,) = await images(rig, "fresh")
        await usage(rig)
        assert json.loads((await rig.manifests.get(rig.admin, APP, "chart")).payload)["schemaVersion"] == 2
        for repository in ("team/app", "team/other", "else/app"):
            await rig.repositories.delete(rig.admin, name_of(repository))
        for name in ("team", "else"):
            assert (await usage(rig, name)).used == 0
        assert payload

    run(work)
