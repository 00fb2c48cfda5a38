"""What a self-assessment is told of the configuration."""

from __future__ import annotations

from pathlib import Path

from entrepot import __version__
from entrepot.config.schema import Config
from entrepot.config.sections import RateLimits
from entrepot.config.values import split_address
from entrepot.system.assessment.installation import Installation


def installation_of(
    config: Config,
    *,
    database: Path,
    token_key: Path,
    secrets_key: Path | None = None,
    config_file: Path | None = None,
    latest: str = "",
    is_outside: bool = False,
) -> Installation:
    """The installation that ``config`` describes; see ``Installation`` for the rest."""
    metrics = config.metrics.listen
    return Installation(
        version=__version__,
        data=config.data,
        database=database,
        listen=split_address(config.listen),
        token_key=token_key,
        secrets_key=secrets_key,
        config_file=config_file,
        external_url=config.external_url,
        https_only=config.https_only,
        has_trusted_proxies=bool(config.trusted_proxies),
        cert_file=config.tls.cert_file,
        key_file=config.tls.key_file,
        hsts_seconds=config.tls.hsts_seconds,
        metrics_listen=split_address(metrics) if metrics else None,
        metrics_login=config.metrics.login,
        documents_login=config.api.documents_login,
        log_level=config.log.level,
        log_access=config.log.access,
        unlimited=tuple(
            f"rate_limits.{name}" for name in RateLimits.model_fields if not getattr(config.rate_limits, name)
        ),
        latest=latest,
        is_outside=is_outside,
    )
