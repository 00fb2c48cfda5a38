"""What the checks need to know of the operator's configuration."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from entrepot.system.assessment.model import is_loopback

Address = tuple[str, int]
"""Host and port."""


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """One installation, as it was set up."""

    version: str
    """Of the program."""
    data: Path
    database: Path
    listen: Address
    token_key: Path
    secrets_key: Path | None = None
    """Where the key of sealed secrets lies; none: it is in the configuration or the environment."""
    config_file: Path | None = None
    """The operator's file, where it is known."""
    external_url: str = ""
    https_only: bool = False
    has_trusted_proxies: bool = False
    cert_file: Path | None = None
    key_file: Path | None = None
    hsts_seconds: int = 0
    metrics_listen: Address | None = None
    metrics_login: bool = False
    documents_login: bool = False
    log_level: str = "info"
    log_access: bool = True
    unlimited: tuple[str, ...] = ()
    """The settings of rate limits that are not set."""
    latest: str = ""
    """The newest version there is, if somebody said so."""
    is_outside: bool = False
    """Whether other machines may be asked: by the command, never by the server."""

    @property
    def is_public(self) -> bool:
        """Whether other machines reach the listener."""
        return not is_loopback(self.listen[0])

    @property
    def is_https_outside(self) -> bool:
        """Whether a proxy is said to end TLS."""
        return self.external_url.startswith("https://") or self.has_trusted_proxies

    @property
    def host(self) -> str:
        """The name that clients use; empty: it is not configured."""
        return urlsplit(self.external_url).hostname or ""
