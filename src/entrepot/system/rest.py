"""The system over Harbor's REST API: ping, health, system info, configurations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body as InBody
from fastapi import Request, Response

from entrepot.auth.model import Caller
from entrepot.kit import clock
from entrepot.settings.model import SETTINGS
from entrepot.settings.service import Settings
from entrepot.system.info import HEALTHY, UNHEALTHY, SystemInformation
from entrepot.web.exchange import Exchange
from entrepot.web.rest import Asking, Body, Route, get, put
from entrepot.web.rule import ANYONE, system

_OCTETS = "application/octet-stream"
_PLAIN = "text/plain"


class ComponentHealth(Body):
    """One component's health; an error says why it is not well."""

    name: str
    status: str
    error: str | None = None


class OverallHealth(Body):
    """The health of the system: well if every component is."""

    status: str
    components: list[ComponentHealth]


class GeneralInfo(Body):
    """What the system is; the second part is for callers who are known."""

    auth_mode: str
    primary_auth_mode: bool
    self_registration: bool
    banner_message: str
    oidc_provider_name: str
    has_ca_root: bool | None = None
    project_creation_restriction: str | None = None
    harbor_version: str | None = None
    external_url: str | None = None
    registry_url: str | None = None
    read_only: bool | None = None
    registry_storage_provider_name: str | None = None
    notification_enable: bool | None = None
    current_time: datetime | None = None


class StorageVolume(Body):
    """Room in bytes."""

    total: int
    free: int


class SystemVolumes(Body):
    """The volumes that content lies on."""

    storage: list[StorageVolume]


class ConfigItem(Body):
    """A setting's value, and whether it can be changed."""

    value: bool | int | str
    editable: bool


class SystemRest:
    """Decode, ask, encode."""

    def __init__(self, information: SystemInformation, settings: Settings) -> None:
        self._information = information
        self._settings = settings

    def routes(self) -> list[Route]:
        """Harbor's operations."""
        return [
            get("/ping", self.ping, ANYONE, tag="ping", answer=_PLAIN),
            get("/health", self.health, ANYONE, tag="health"),
            get("/systeminfo", self.info, ANYONE, tag="systeminfo"),
            get("/systeminfo/volumes", self.volumes, system("system-volumes", "read"), tag="systeminfo"),
            get("/systeminfo/getcert", self.certificate, ANYONE, tag="systeminfo", answer=_OCTETS),
            get("/configurations", self.configurations, system("configuration", "read"), tag="configure"),
            put("/configurations", self.configure, system("configuration", "update"), tag="configure"),
        ]

    async def ping(self) -> Response:
        """Say that the server answers."""
        return Response("Pong", media_type=_PLAIN)

    async def health(self) -> OverallHealth:
        """Tell the health of every component.

        The status is 200 whatever the health is, as in Harbor; a load balancer asks /readyz.
        """
        components = await self._information.components()
        return OverallHealth(
            status=HEALTHY if all(component.status == HEALTHY for component in components) else UNHEALTHY,
            components=[
                ComponentHealth(name=component.name, status=component.status, error=component.error or None)
                for component in components
            ],
        )

    async def info(self, request: Request, caller: Annotated[Caller, Asking]) -> GeneralInfo:
        """Tell what the system is; more of it to callers who are known."""
        public = await self._information.public()
        if caller.principal.is_anonymous:
            return GeneralInfo.model_validate(public)
        exchange: Exchange = request.scope["exchange"]
        protected = await self._information.protected(exchange.origin_url())
        return GeneralInfo(
            **GeneralInfo.model_validate(public).model_dump(include=set(public.__struct_fields__)),
            **{name: getattr(protected, name) for name in protected.__struct_fields__},
            current_time=datetime.fromtimestamp(clock.now(), UTC),
        )

    async def volumes(self) -> SystemVolumes:
        """Tell the room that is left for content."""
        volume = await self._information.volume()
        return SystemVolumes(storage=[StorageVolume(total=volume.total, free=volume.free)])

    async def certificate(self) -> Response:
        """Download the certificate that clients have to trust."""
        headers = {"Content-Disposition": "attachment; filename=ca.crt"}
        return Response(await self._information.certificate(), media_type=_OCTETS, headers=headers)

    async def configurations(self) -> dict[str, ConfigItem | dict[str, Any]]:
        """List the settings, but for secrets."""
        return {
            key: item.value if SETTINGS[key].kind == "object" else ConfigItem(value=item.value, editable=item.editable)
            for key, item in (await self._settings.all()).items()
        }

    async def configure(
        self,
        caller: Annotated[Caller, Asking],
        values: Annotated[
            dict[str, Any], InBody(description="Settings and their new values; unknown ones are ignored.")
        ],
    ) -> None:
        """Change settings: all that are sent, or none."""
        await self._settings.update(caller.origin, values)
