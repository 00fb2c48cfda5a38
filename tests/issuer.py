"""An issuer of tokens: a small OpenID provider of our own, which does what a test tells it, wrong things too.

    with Issuer() as issuer:
        token = issuer.token(sub="alice", aud="registry")

It answers on a thread of its own, so that a registry in this process or in another can ask it. Whoever asks to log in
is the issuer's ``person`` at once. What it hands out depends on ``overrides``, ``metadata`` and ``trouble``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import sys
import threading
import time
from collections import Counter
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

CLIENT = "registry"
SECRET = "registry+secret/ä"
CALLBACK = "http://registry.test/c/oidc/callback"

Key = RSAKey | ECKey


class Issuer:
    """One issuer with its keys; ``url`` is what its tokens call it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """With ``tls`` it answers behind that."""
        self.person: dict[str, Any] = {
            "sub": "u-1",
            "preferred_username": "alice",
            "email": "alice@example.com",
            "email_verified": True,
            "name": "Alice A",
            "groups": ["dev", "admins"],
        }
        self.overrides: dict[str, Any] = {}
        """Claims of the next ID tokens; one that is ``None`` is left out."""
        self.in_userinfo: set[str] = set()
        """Claims that only the userinfo endpoint makes."""
        self.userinfo: dict[str, Any] = {}
        """Claims of its that differ."""
        self.metadata: dict[str, Any] = {}
        self.parameters: dict[str, str | None] = {}
        """What the answer to the browser says otherwise; ``None``: not at all."""
        self.trouble: dict[str, Any] = {}
        """By path: a status, a number of seconds (a float) to be silent for, a URL to redirect to, or bytes to send."""
        self.secret = SECRET
        self.asked: Counter[str] = Counter()
        self.active: dict[str, dict[str, Any]] = {}
        """Opaque tokens, and what introspection says of them."""
        self.refreshable: dict[str, str] = {}
        """Refresh tokens, and whose they are."""
        self.forge = "token"
        """How ID tokens are made: ``token``, ``unsigned`` or ``confused``."""
        self.algorithm = "RS256"
        self._codes: dict[str, dict[str, str]] = {}
        self.keys: list[tuple[str, Key]] = []
        self.rotate(_first_key())
        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.issuer = self
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    # keys and tokens

    def rotate(self, key: Key | None = None) -> None:
        """Sign with another key from now on, and show no other."""
        kid = secrets.token_hex(4)
        self.keys = [(kid, key or RSAKey.generate_key(2048, parameters={"use": "sig"}))]
        self.algorithm = "ES256" if isinstance(key, ECKey) else "RS256"

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        return {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in self.keys]}

    def token(self, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token with these claims; what it needs and they lack is added, ``None`` leaves a claim out."""
        kid, key = self.keys[0]
        now = int(time.time())
        all_claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 600, **claims}
        payload = {name: value for name, value in all_claims.items() if value is not None}
        head = {"alg": self.algorithm, "kid": kid, **(header or {})}
        return jws.serialize_compact(head, json.dumps(payload), key, algorithms=[str(head["alg"])], registry=_loose())

    def unsigned(self, **claims: Any) -> str:
        """A token with ``alg: none``."""
        head, payload, _ = self.token(**claims).split(".")
        header = json.loads(_decoded(head)) | {"alg": "none"}
        return f"{_encoded(json.dumps(header).encode())}.{payload}."

    def confused(self, **claims: Any) -> str:
        """A token with an HMAC whose secret is the public key."""
        _, key = self.keys[0]
        head, payload, _ = self.token(**claims).split(".")
        header = json.loads(_decoded(head)) | {"alg": "HS256"}
        signed = f"{_encoded(json.dumps(header).encode())}.{payload}"
        mac = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{_encoded(mac)}"

    def write_keys(self, path: Path) -> None:
        """The public keys, into a file."""
        path.write_text(json.dumps(self.jwks()))

    # what its endpoints say

    def describe(self) -> dict[str, Any]:
        """The discovery document."""
        paths = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "userinfo_endpoint": "/userinfo",
            "jwks_uri": "/jwks",
            "introspection_endpoint": "/introspect",
            "end_session_endpoint": "/logout",
        }
        return {"issuer": self.url} | {name: self.url + path for name, path in paths.items()} | self.metadata

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes: the person has agreed."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        answer: dict[str, str | None] = {"code": code, "state": asked["state"], "iss": self.url}
        answer |= self.parameters
        return asked["redirect_uri"] + "?" + urlencode({k: v for k, v in answer.items() if v is not None})

    def code(self, url: str) -> str:
        """The code for a login that begins at ``url``."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        return parse_qs(urlsplit(self.authorize(asked)).query)["code"][0]

    def grant(self, form: dict[str, str], client: tuple[str, str]) -> tuple[int, dict[str, Any]]:
        """The token endpoint."""
        if client != (CLIENT, self.secret):
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") == "refresh_token":
            if self.refreshable.pop(form.get("refresh_token", ""), None) is None:
                return 400, {"error": "invalid_grant"}
            return 200, self._tokens({})
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        challenge = _encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked.get("code_challenge_method") != "S256" or asked.get("code_challenge") != challenge:
            return 400, {"error": "invalid_grant"}
        return 200, self._tokens({"nonce": asked["nonce"]})

    def _tokens(self, more: dict[str, Any]) -> dict[str, Any]:
        access = secrets.token_urlsafe(24)
        refresh = secrets.token_urlsafe(24)
        self.refreshable[refresh] = str(self.person["sub"])
        half = hashlib.sha256(access.encode()).digest()[:16]
        told = {name: value for name, value in self.person.items() if name not in self.in_userinfo}
        make = getattr(self, self.forge)
        id_token = make(**{**told, "at_hash": _encoded(half), **more, **self.overrides})
        return {"access_token": access, "token_type": "Bearer", "id_token": id_token, "refresh_token": refresh}


@cache
def _first_key() -> RSAKey:
    """Made once: that takes a while."""
    return RSAKey.generate_key(2048, parameters={"use": "sig"})


def _loose() -> jws.JWSRegistry:
    """A registry that signs whatever header it is given."""
    registry = jws.JWSRegistry(algorithms=["RS256", "PS256", "ES256"], strict_check_header=False)
    registry.header_registry = {}
    return registry


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    issuer: Issuer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asks may hang up; every other error is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the library gave it
        """Say nothing."""

    def do_GET(self) -> None:
        issuer = self.server.issuer
        path = urlsplit(self.path).path
        if self._in_trouble(path):
            return
        if path == "/.well-known/openid-configuration":
            self._json(200, issuer.describe())
        elif path == "/jwks":
            self._json(200, issuer.jwks())
        elif path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            self._send(302, b"", {"location": issuer.authorize(asked)})
        elif path == "/userinfo" and self.headers.get("authorization", "").startswith("Bearer "):
            self._json(200, issuer.person | issuer.userinfo)
        else:
            self._json(404, {"error": "not_found"})

    def do_POST(self) -> None:
        issuer = self.server.issuer
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if self._in_trouble(self.path):
            return
        if self.path == "/token":
            self._json(*issuer.grant(form, self._client(form)))
        elif self.path == "/introspect":
            self._json(200, issuer.active.get(form.get("token", ""), {"active": False}))
        else:
            self._json(404, {"error": "not_found"})

    def _client(self, form: dict[str, str]) -> tuple[str, str]:
        given = self.headers.get("authorization", "")
        if not given.startswith("Basic "):
            return form.get("client_id", ""), form.get("client_secret", "")
        name, _, secret = base64.b64decode(given[6:]).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)

    def _in_trouble(self, path: str) -> bool:
        issuer = self.server.issuer
        if issuer._stopped.is_set():
            self.close_connection = True  # a kept connection is no way around that
            return True
        issuer.asked[path] += 1
        trouble = issuer.trouble.get(path, issuer.trouble.get("*"))
        if trouble is None:
            return False
        if isinstance(trouble, int):
            self._json(trouble, {"error": "temporarily_unavailable"})
        elif isinstance(trouble, float):
            issuer._stopped.wait(trouble)
            self.close_connection = True
        elif isinstance(trouble, bytes):
            self._send(200, trouble, {"content-type": "application/json"})
        else:
            self._send(302, b"", {"location": str(trouble)})
        return True

    def _json(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode(), {"content-type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # who asked has heard enough


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
