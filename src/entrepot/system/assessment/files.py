"""Checks of files: who else may read the data folder, the keys, the configuration."""

from __future__ import annotations

import asyncio
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import func, select

from entrepot.auth.tables import identity_providers, user_identities
from entrepot.database import Database, query
from entrepot.kit.finding import Check, Finding, Weakness, one
from entrepot.system.assessment.installation import Installation

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
NO_SECRETS_KEY = Weakness(
    id="secrets-key-missing",
    severity="high",
    title="The key of the sealed secrets is missing",
    reason="What directories and OpenID providers are asked with cannot be read: logins there fail.",
    remedy="Bring back keys/secrets.key (or the file of secrets.key_file) from a backup, or set the secrets anew.",
)

_SEALED = query(select(func.count()).select_from(identity_providers).where(identity_providers.c.secret.is_not(None)))
_SEALED_OF_PEOPLE = query(
    select(func.count()).select_from(user_identities).where(user_identities.c.credential.is_not(None))
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


def checks(installation: Installation, database: Database) -> list[Check]:
    """The checks of files."""

    async def folder() -> list[Finding]:
        facts = await asyncio.to_thread(facts_of, installation.data)
        return one(open_to(OPEN_DATA, [facts], _OTHERS))

    async def keys() -> list[Finding]:
        owner = (await asyncio.to_thread(facts_of, installation.data)).owner
        paths = [path for path in (installation.token_key, installation.secrets_key) if path is not None]
        found = [await asyncio.to_thread(facts_of, path) for path in paths if await asyncio.to_thread(path.exists)]
        return one(loose_keys(found, owner))

    async def tls_key() -> list[Finding] | None:
        if installation.key_file is None:
            return None
        return one(open_to(OPEN_TLS_KEY, [await asyncio.to_thread(facts_of, installation.key_file)], _WORLD))

    async def config_open() -> list[Finding] | None:
        secrets = await asyncio.to_thread(secrets_of, installation.config_file)
        if installation.config_file is None or secrets is None:
            return None
        facts = await asyncio.to_thread(facts_of, installation.config_file)
        return one(open_to(OPEN_CONFIG, [facts], _WORLD_READS) if secrets else None)

    async def config_secrets() -> list[Finding] | None:
        secrets = await asyncio.to_thread(secrets_of, installation.config_file)
        return None if secrets is None else one(SECRETS_IN_CONFIG.found(secrets) if secrets else None)

    async def secrets_key() -> list[Finding] | None:
        key = installation.secrets_key
        if key is None:
            return None
        sealed = sum([int(row[0]) for statement in _ALL_SEALED for row in await database.survey(statement)])
        is_missing = sealed > 0 and not await asyncio.to_thread(key.exists)
        return one(NO_SECRETS_KEY.found([str(key)]) if is_missing else None)

    return [
        Check(OPEN_DATA, folder),
        Check(OPEN_KEYS, keys),
        Check(OPEN_TLS_KEY, tls_key),
        Check(OPEN_CONFIG, config_open),
        Check(SECRETS_IN_CONFIG, config_secrets),
        Check(NO_SECRETS_KEY, secrets_key),
    ]


_ALL_SEALED = (_SEALED, _SEALED_OF_PEOPLE)


def facts_of(path: Path) -> FileFacts:
    """What counts of the file at ``path``, or of what it leads to.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    found = path.stat()
    return FileFacts(str(path), stat.S_IMODE(found.st_mode), found.st_uid)


def open_to(weakness: Weakness, files: list[FileFacts], mask: int) -> Finding | None:
    """Which files let somebody in whom ``mask`` stands for."""
    loose = [f"{file.path} (mode {file.mode:04o})" for file in files if file.mode & mask]
    return weakness.found(loose) if loose else None


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
        for provider in identity.get(kind, []):
            if provider.get(field):
                yield f"identity.{kind}[{provider.get('name', '')}].{field}"
