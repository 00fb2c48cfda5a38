"""Facts about what lets people in from elsewhere: identity providers, CLI secrets, the key of secrets."""

from __future__ import annotations

from entrepot.auth.model import UserEvent
from entrepot.journal.model import Event


class CliSecretSet(UserEvent, frozen=True, kw_only=True):
    """An account has another CLI secret; ``expires_at`` in microseconds since the epoch, none: never."""

    operation = "update"
    expires_at: int | None = None


class CliSecretRevoked(UserEvent, frozen=True, kw_only=True):
    """An account's CLI secret no longer works."""

    operation = "update"


class IdentityProviderEvent(Event, frozen=True, kw_only=True):
    """Something happened to an identity provider."""

    resource_type = "identity-provider"
    provider: str
    kind: str

    @property
    def resource(self) -> str:
        """The provider's name."""
        return self.provider


class IdentityProviderCreated(IdentityProviderEvent, frozen=True, kw_only=True):
    """There is another source of accounts; ``options`` holds what was said of it, but for its secret."""

    operation = "create"
    options: dict[str, object]


class IdentityProviderUpdated(IdentityProviderEvent, frozen=True, kw_only=True):
    """A provider is asked otherwise; ``changes`` holds the new values, of the secret only that it is another."""

    operation = "update"
    changes: dict[str, object]


class IdentityProviderDeleted(IdentityProviderEvent, frozen=True, kw_only=True):
    """A provider is not asked any more; its accounts stay."""

    operation = "delete"


class SecretsResealed(Event, frozen=True, kw_only=True):
    """Everything that is kept sealed was sealed anew; how many of each there were."""

    operation = "update"
    resource_type = "secrets"
    counts: dict[str, int]

    @property
    def resource(self) -> str:
        """All of them."""
        return "secrets"
