"""A refusal that another token could turn into a yes."""

from __future__ import annotations

from entrepot.errors import NotAuthenticated


class TokenNeeded(NotAuthenticated):
    """Carries what the challenge says: the scope to ask for, and why the credential was not enough."""

    def __init__(self, message: str, scope: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.scope = scope
        self.reason = reason
        """``invalid_token``, ``insufficient_scope`` (RFC 6750, 3.1) or empty when no credential came."""
