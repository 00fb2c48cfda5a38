"""What the system tells about itself: kind, settings, room, certificate, health."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import msgspec

from entrepot.errors import NotFound, Unavailable
from entrepot.settings.service import Settings
from entrepot.system.health import Health, HealthChecker

HARBOR_VERSION = "v2.14.0-entrepot"
"""Clients look at what stands before the first hyphen, where Harbor's own commit follows."""

HEALTHY = "healthy"
UNHEALTHY = "unhealthy"

_HARBOR_NAMES = {"storage": "registry"}
"""Components that Harbor calls otherwise."""
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


class SystemFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while the process runs."""

    version: str
    """Our own, such as ``1.2.0``."""
    data: Path
    """The folder whose room is told."""
    driver: str
    """The name of the storage driver."""
    external_url: str = ""
    """How clients reach the registry; empty: as the one who asks did."""
    ca_file: Path | None = None
    """The certificate, in PEM, of the authority that clients have to trust."""

    @property
    def harbor_version(self) -> str:
        """The version that Harbor's clients look at, and ours."""
        return f"{HARBOR_VERSION}-{self.version}"


class Component(msgspec.Struct, frozen=True):
    """One component's health; ``error`` is empty if it is well."""

    name: str
    status: str
    error: str = ""


class Volume(msgspec.Struct, frozen=True):
    """Room, in bytes; ``free`` is what an ordinary user may still write."""

    total: int
    free: int


class PublicInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a login page needs."""

    auth_mode: str
    primary_auth_mode: bool
    self_registration: bool
    banner_message: str
    oidc_provider_name: str


class ProtectedInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to whoever is known."""

    has_ca_root: bool
    project_creation_restriction: str
    harbor_version: str
    external_url: str
    registry_url: str
    read_only: bool
    registry_storage_provider_name: str
    notification_enable: bool


class SystemInformation:
    """Answers questions about the system."""

    def __init__(self, facts: SystemFacts, settings: Settings, health: HealthChecker) -> None:
        self._facts = facts
        self._settings = settings
        self._health = health

    async def public(self) -> PublicInfo:
        """What everybody may know."""
        settings = self._settings
        auth_mode = await settings.text("auth_mode")
        return PublicInfo(
            auth_mode=auth_mode,
            primary_auth_mode=await settings.boolean("primary_auth_mode"),
            self_registration=await settings.boolean("self_registration"),
            banner_message=await settings.text("banner_message"),
            oidc_provider_name=await settings.text("oidc_name") if auth_mode == "oidc_auth" else "",
        )

    async def protected(self, reached_at: str) -> ProtectedInfo:
        """What everybody who is known may know; ``reached_at`` is the URL that the caller used."""
        settings, facts = self._settings, self._facts
        url = facts.external_url or reached_at
        has_ca = facts.ca_file is not None and url.startswith("https://")
        return ProtectedInfo(
            has_ca_root=has_ca and await asyncio.to_thread(_read_certificates, facts.ca_file) is not None,
            project_creation_restriction=await settings.text("project_creation_restriction"),
            harbor_version=facts.harbor_version,
            external_url=url,
            registry_url=url.partition("://")[2] or url,
            read_only=await settings.boolean("read_only"),
            registry_storage_provider_name=facts.driver,
            notification_enable=await settings.boolean("notification_enable"),
        )

    async def volume(self) -> Volume:
        """The room where the data folder lies.

        Raises:
            Unavailable: it cannot be asked.
        """
        try:
            room = await asyncio.to_thread(os.statvfs, self._facts.data)
        except OSError as error:
            raise Unavailable("The data folder cannot be read: tell the registry's operator.") from error
        return Volume(room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize)

    async def certificate(self) -> bytes:
        """The certificates of the authority that clients have to trust, in PEM; never anything else of that file.

        Raises:
            NotFound: none is configured, or its file holds none.
        """
        found = await asyncio.to_thread(_read_certificates, self._facts.ca_file)
        if found is None:
            raise NotFound("There is no certificate to download: the registry's operator has configured none.")
        return found

    async def components(self) -> list[Component]:
        """The health of every component, by name."""
        return components_of(await self._health.check())


def components_of(health: Health) -> list[Component]:
    """The components as Harbor names them; ``core`` is the process that answers."""
    is_draining = health.status == "draining"
    core = Component("core", UNHEALTHY, "the process is about to stop") if is_draining else Component("core", HEALTHY)
    others = [
        Component(_HARBOR_NAMES.get(name, name), HEALTHY)
        if answer == "ok"
        else Component(_HARBOR_NAMES.get(name, name), UNHEALTHY, answer)
        for name, answer in health.components.items()
    ]
    return sorted([core, *others], key=lambda component: component.name)


def _read_certificates(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    # A file that holds a private key too must not give it away.
    found = _CERTIFICATE.findall(content)
    return b"\n".join(found) + b"\n" if found else None
