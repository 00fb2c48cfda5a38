"""What protects a browser's session: a request that changes something must bring a token that no other site knows."""

from __future__ import annotations

import hashlib
import hmac

from entrepot.auth.model import Caller
from entrepot.auth.sessions import COOKIE
from entrepot.errors import Denied
from entrepot.web.exchange import Exchange

SESSION_COOKIE = COOKIE
CSRF_HEADER = b"x-harbor-csrf-token"

# Harbor's tools answer a refusal with the token of its header and this cookie; terraform's provider insists on both.
_COMPANION = (b"set-cookie", b"_gorilla_csrf=unused; Path=/; HttpOnly; SameSite=Strict")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionGuard:
    """Makes and checks the tokens; ``key`` must be the same in every worker process."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, cookie: str) -> str:
        """The token that belongs to a session's cookie."""
        return hmac.new(self._key, cookie.encode("latin-1", "replace"), hashlib.sha256).hexdigest()

    def protect(self, exchange: Exchange, caller: Caller) -> None:
        """Tell a session its token, and ask for it where the request could change something.

        Raises:
            Denied: ``FORBIDDEN``: it is missing or wrong.
        """
        if caller.credential == "certificate" and exchange.method not in _READING:
            # A browser shows its certificate to whoever makes it come here.
            if exchange.text(b"sec-fetch-site") in {"cross-site", "same-site"}:
                raise Denied("Another site may not do this: open the registry's own page.", code="FORBIDDEN")
            return
        if caller.credential != "session":
            return
        token = self.token(exchange.cookie(SESSION_COOKIE)).encode()
        exchange.answer_headers.append((CSRF_HEADER, token))
        if exchange.method in _READING:
            return
        if not hmac.compare_digest(exchange.header(CSRF_HEADER) or b"", token):
            exchange.answer_headers.append(_COMPANION)
            raise Denied(
                "A session changes nothing without its token: send the X-Harbor-CSRF-Token that the last answer "
                "carried.",
                code="FORBIDDEN",
            )
