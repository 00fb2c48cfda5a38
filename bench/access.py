"""A token of Entrepôt, asked for as clients do: from the challenge of /v2/, with Basic."""

from __future__ import annotations

import base64
import re
import time
from urllib.parse import quote, urlsplit

import msgspec

from bench.rawclient import Address, Connection, WrongAnswerError, make_request

FRESH = 60.0
"""Seconds for which a token is used again; it lives about five minutes."""

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class _Answer(msgspec.Struct):
    token: str


class Login:
    """Holds one token a repository and renews it between measurements, never within one."""

    def __init__(self, user: str, password: str) -> None:
        self._basic = base64.b64encode(f"{user}:{password}".encode())
        self._tokens: dict[str, tuple[float, bytes]] = {}

    def field(self, address: Address, repository: str) -> bytes:
        """Return the Authorization header line for pull and push in `repository`."""
        made, line = self._tokens.get(repository, (0.0, b""))
        if not line or time.monotonic() - made > FRESH:
            token = self._ask(address, repository)
            line = b"Authorization: Bearer %b\r\n" % token.encode()
            self._tokens[repository] = (time.monotonic(), line)
        return line

    def _ask(self, address: Address, repository: str) -> str:
        host = b"Host: %b\r\n" % address.authority.encode()
        with Connection(address) as connection:
            refused = connection.ask(make_request("GET", "/v2/", host, expect=(401,)))
            challenge = refused.get(b"www-authenticate").decode()
            words = dict(_PARAMETER.findall(challenge))
            if not challenge.startswith("Bearer ") or not {"realm", "service"} <= words.keys():
                raise WrongAnswerError(f"the challenge of /v2/ is not understood: {challenge}")
            realm = urlsplit(words["realm"])
            if realm.netloc != address.authority:
                raise WrongAnswerError(f"the realm of /v2/ is elsewhere: {words['realm']}")
            scope = quote(f"repository:{repository}:pull,push", safe="")
            target = f"{realm.path}?service={quote(words['service'], safe='')}&scope={scope}"
            fields = host + b"Authorization: Basic %b\r\n" % self._basic
            answer = connection.ask(make_request("GET", target, fields, keep=True))
        return msgspec.json.decode(answer.body, type=_Answer).token
