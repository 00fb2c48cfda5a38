"""Checks of files: who else may read the data folder, the keys, the configuration."""

from __future__ import annotations

import asyncio
import json
import shlex
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from entrepot.auth.tables import identity_providers, user_identities
from entrepot.database import Database
from entrepot.errors import Unreadable
from entrepot.kit.finding import Check, Finding, Weakness, one
from entrepot.settings import store as settings_store
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.rows import bounded, first_rows

OPEN_DATA = Weakness(
    id="data-folder-open",
    severity="high",
    title="Other users of the machine may look into the data folder",
    reason="It holds the database, every image, and the keys that logins rest on.",
    remedy="chmod 700 DATA",
)
OPEN_KEYS = Weakness(
    id="key-files-open",
    severity="critical",
    title="A key is readable by other users of the machine, or is not the server's own",
    reason="Whoever has the key that signs tokens logs in as anybody; whoever has the key of secrets reads the "
    "passwords of directories.",
    remedy="chown and chmod 600 the file, to the owner of the data folder; if others may have read it, make a new "
    "one: delete keys/token.pem and restart (every token ends), entrepot secrets rotate.",
)
OPEN_TLS_KEY = Weakness(
    id="tls-key-open",
    severity="high",
    title="The private key of TLS is readable by everybody on the machine",
    reason="Whoever has it poses as the registry.",
    remedy="chmod 640 the file of tls.key_file (or 600), and get a new certificate if others may have read it.",
)
OPEN_CONFIG = Weakness(
    id="config-file-open",
    severity="high",
    title="The configuration holds secrets and is readable by everybody on the machine",
    reason="Whoever can log in to the machine reads them.",
    remedy="chmod 600 the file, or move the secrets out of it with the settings that end in _file.",
)
SECRETS_IN_CONFIG = Weakness(
    id="config-secrets-inline",
    severity="info",
    title="Secrets stand in the configuration file itself",
    reason="Such files are copied, committed and shown to others.",
    remedy="Put each into a file of its own and name it: admin_password_file, secrets.key_file, bind_password_file, "
    "client_secret_file. admin_password is for the first start only: remove it.",
)
LOST_SECRETS = Weakness(
    id="secrets-unreadable",
    severity="high",
    title="Sealed secrets cannot be opened",
    reason="What directories and OpenID providers are asked with was sealed with a key that is not here: logins there "
    "fail.",
    remedy="Bring back the key (keys/secrets.key, or the file of secrets.key_file) from a backup, or set the secrets "
    "anew; entrepot secrets check tells of all of them.",
)

_SEALED = bounded(
    select(identity_providers.c.name, identity_providers.c.secret)
    .where(identity_providers.c.secret.is_not(None))
    .order_by(identity_providers.c.id)
)
_SEALED_OF_PEOPLE = bounded(
    select(user_identities.c.provider, user_identities.c.credential)
    .where(user_identities.c.credential.is_not(None))
    .order_by(user_identities.c.created_at.desc())
)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WORLD = stat.S_IRWXO
_WORLD_READS = stat.S_IROTH
_TOP_SECRETS = (("admin_password",), ("secrets", "key"))
_PROVIDER_SECRETS = {"ldap": "bind_password", "oidc": "client_secret"}


class FileFacts(msgspec.Struct, frozen=True):
    """What counts of a file."""

    path: str
    mode: int
    owner: int


def checks(
    installation: Installation, database: Database, open_sealed: Callable[[bytes], object] | None
) -> list[Check]:
    """The checks of files."""

    async def folder() -> list[Finding]:
        facts = await asyncio.to_thread(facts_of, installation.data)
        return one(open_to(OPEN_DATA, [facts], _OTHERS, f"chmod 700 {shlex.quote(facts.path)}"))

    async def keys() -> list[Finding]:
        owner = (await asyncio.to_thread(facts_of, installation.data)).owner
        paths = [path for path in (installation.token_key, installation.secrets_key) if path is not None]
        found = [await asyncio.to_thread(facts_of, path) for path in paths if await asyncio.to_thread(path.exists)]
        return one(loose_keys(found, owner))

    async def tls_key() -> list[Finding] | None:
        if installation.key_file is None:
            return None
        facts = await asyncio.to_thread(facts_of, installation.key_file)
        remedy = f"chmod 600 {shlex.quote(facts.path)}, and get a new certificate if others may have read it."
        return one(open_to(OPEN_TLS_KEY, [facts], _WORLD, remedy))

    async def config_open() -> list[Finding] | None:
        secrets = await asyncio.to_thread(secrets_of, installation.config_file)
        if installation.config_file is None or secrets is None:
            return None
        facts = await asyncio.to_thread(facts_of, installation.config_file)
        remedy = (
            f"chmod 600 {shlex.quote(facts.path)}, or move the secrets out of it with the settings that end in _file."
        )
        return one(open_to(OPEN_CONFIG, [facts], _WORLD_READS, remedy) if secrets else None)

    async def config_secrets() -> list[Finding] | None:
        secrets = await asyncio.to_thread(secrets_of, installation.config_file)
        return None if secrets is None else one(SECRETS_IN_CONFIG.found(secrets) if secrets else None)

    async def lost() -> list[Finding]:
        kept = await sealed_in(database)
        unreadable = await asyncio.to_thread(lambda: [name for name, sealed in kept if not _opens(sealed, open_sealed)])
        return one(LOST_SECRETS.found(list(dict.fromkeys(unreadable))) if unreadable else None)

    return [
        Check(OPEN_DATA, folder),
        Check(OPEN_KEYS, keys),
        Check(OPEN_TLS_KEY, tls_key),
        Check(OPEN_CONFIG, config_open),
        Check(SECRETS_IN_CONFIG, config_secrets),
        Check(LOST_SECRETS, lost),
    ]


async def sealed_in(database: Database) -> list[tuple[str, bytes]]:
    """What is kept sealed and where, a sample where there may be many: they share a key."""
    kept = [
        (f"setting {key}", sealed)
        for key, value in await settings_store.list_all(database)
        if (sealed := settings_store.sealed_in(value)) is not None
    ]
    providers, _ = await first_rows(database, _SEALED)
    people, _ = await first_rows(database, _SEALED_OF_PEOPLE)
    kept += [(f"identity provider {name}", bytes(sealed)) for name, sealed in providers]
    kept += [(f"accounts of {name}", bytes(sealed)) for name, sealed in people]
    return kept


def _opens(sealed: bytes, open_sealed: Callable[[bytes], object] | None) -> bool:
    if open_sealed is None:
        return False
    try:
        open_sealed(sealed)
    except Unreadable:
        return False
    return True


def facts_of(path: Path) -> FileFacts:
    """What counts of the file at ``path``, or of what it leads to.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    found = path.stat()
    return FileFacts(str(path), stat.S_IMODE(found.st_mode), found.st_uid)


def open_to(weakness: Weakness, files: list[FileFacts], mask: int, remedy: str = "") -> Finding | None:
    """Which files let somebody in whom ``mask`` stands for."""
    loose = [f"{file.path} (mode {file.mode:04o})" for file in files if file.mode & mask]
    return weakness.found(loose, remedy=remedy) if loose else None


def loose_keys(files: list[FileFacts], owner: int) -> Finding | None:
    """Which keys others can read, or somebody else than ``owner`` has."""
    loose = [
        f"{file.path} (mode {file.mode:04o}, owner {file.owner})"
        for file in files
        if file.mode & _OTHERS or file.owner != owner
    ]
    return OPEN_KEYS.found(loose) if loose else None


def secrets_of(path: Path | None) -> list[str] | None:
    """The settings of the operator's file that hold secrets; ``None``: the file is not known.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not TOML.
    """
    return None if path is None else list(inline_secrets(tomllib.loads(path.read_text("utf-8"))))


def inline_secrets(document: Mapping[str, Any]) -> Iterator[str]:
    """The settings of a configuration that hold a secret themselves."""
    for path in _TOP_SECRETS:
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value:
            yield ".".join(path)
    identity = document.get("identity", {})
    for kind, field in _PROVIDER_SECRETS.items():
        providers = identity.get(kind, [])
        for provider in json.loads(providers) if isinstance(providers, str) else providers:
            if provider.get(field):
                yield f"identity.{kind}[{provider.get('name', '')}].{field}"
