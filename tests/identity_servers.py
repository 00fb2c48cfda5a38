"""Real identity servers: npm's oidc-provider, started by the suite, with keys that rotate.

with OidcServer() as server:
    callback = server.log_in(httpx.Client(), url, "alice")
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from html import unescape
from pathlib import Path
from typing import Any, NoReturn, Self

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.serving import free_port

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("ENTREPOT_CLIENTS", HERE.parent / ".cache" / "clients"))
LIBRARY = CACHE / "oidc-provider" / "node_modules" / "oidc-provider" / "lib" / "index.js"

CLIENT = "registry"
SECRET = "registry-secret"
AUDIENCE = "https://registry.example/api"
READY_WITHIN = 30.0

USERS: dict[str, dict[str, Any]] = {
    "alice": {
        "name": "Alice A",
        "preferred_username": "alice",
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["registry-admins", "dev"],
    },
    "bob": {
        "name": "Bob B",
        "preferred_username": "bob",
        "email": "bob@example.com",
        "email_verified": True,
        "groups": ["dev"],
    },
    "carol": {"name": "Carol C", "preferred_username": "carol", "groups": []},
}


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test with its reason; where nothing may be missing (CI), fail it."""
    required = os.environ.get("CI", "").lower() in {"true", "1"}
    if required or os.environ.get("ENTREPOT_REQUIRE_CLIENTS") == "1":
        pytest.fail(f"{reason} (and this run may skip nothing)", pytrace=False)
    pytest.skip(reason)


class OidcServer:
    """One oidc-provider; people type their name and any password."""

    def __init__(self, *sites: str, settings: dict[str, Any] | None = None) -> None:
        """``sites`` are the URLs of registries, to whose callbacks it sends browsers; ``settings`` replace ours."""
        self.sites = sites or ("http://registry.test",)
        self.port = free_port()
        self.users = {name: dict(claims) for name, claims in USERS.items()}
        self._given = settings
        self._generation = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The issuer."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it with a key of its own, and wait until it answers."""
        node = shutil.which("node")
        if node is None or not LIBRARY.exists():
            skip_or_fail("oidc-provider is not installed: run tools/install-clients")
        self._process = subprocess.Popen(
            [
                node,
                str(HERE / "oidc_provider.mjs"),
                str(LIBRARY),
                str(self.port),
                json.dumps(self._given or self._settings()),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + READY_WITHIN
        while not self._answers():
            assert self._process.poll() is None, "oidc-provider ended"
            assert time.monotonic() < deadline, "oidc-provider did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; nobody can log in any more."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def rotate(self) -> None:
        """Start anew with another key of another kind; sessions, codes and refresh tokens are forgotten."""
        self.stop()
        self._generation += 1
        self.start()

    def client(self) -> httpx.Client:
        """A browser without a registry."""
        return httpx.Client(follow_redirects=False)

    def log_in(self, browser: httpx.Client, url: str, user: str, *, agrees: bool = True) -> str:
        """Go through its pages from ``url`` on; the registry's URL that it ends with."""
        answer = browser.get(url)
        for _ in range(16):
            if answer.is_redirect:
                target = str(answer.url.join(answer.headers["location"]))
                if target.startswith(self.sites):
                    return target
                answer = browser.get(target)
                continue
            answer = self._fill_in(browser, answer, user, agrees=agrees)
        raise AssertionError(f"the provider never lets {user} go: {answer.text[:500]}")

    def access_token(self, user: str, *, resource: str = "") -> str:
        """An access token for a program: opaque, or for a ``resource`` a JWT."""
        with self.client() as browser:
            verifier = "v" * 43
            asked = {
                "client_id": "cli",
                "response_type": "code",
                "redirect_uri": f"{self.sites[0]}/cli",
                "scope": "openid profile email groups" + (" api" if resource else ""),
                "code_challenge": _challenge(verifier),
                "code_challenge_method": "S256",
            }
            if resource:
                asked["resource"] = resource
            back = self.log_in(browser, str(httpx.URL(f"{self.url}/auth", params=asked)), user)
            form = {
                "grant_type": "authorization_code",
                "code": httpx.URL(back).params["code"],
                "redirect_uri": asked["redirect_uri"],
                "code_verifier": verifier,
            }
            answer = browser.post(f"{self.url}/token", data=form, auth=("cli", SECRET))
            return str(answer.raise_for_status().json()["access_token"])

    def _fill_in(self, browser: httpx.Client, page: httpx.Response, user: str, *, agrees: bool) -> httpx.Response:
        """Submit the form of a page."""
        action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
        if 'name="login"' in page.text:
            fields |= {"login": user, "password": "any"}
        assert action is not None, page.text[:500]
        if not agrees:
            leave = re.search(r'href="([^"]+/abort)"', page.text)
            assert leave is not None, page.text
            return browser.get(str(page.url.join(unescape(leave[1]))))
        return browser.post(str(page.url.join(unescape(action[1]))), data=fields)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/.well-known/openid-configuration").status_code == 200
        except httpx.TransportError:
            return False

    def _settings(self) -> dict[str, Any]:
        kind, made = _rsa() if self._generation % 2 == 0 else _elliptic()
        key = made.as_dict(private=True, kid=f"key-{self._generation}", use="sig", alg=kind)
        both = {"client_secret": SECRET, "response_types": ["code"], "id_token_signed_response_alg": kind}
        registry = {
            "client_id": CLIENT,
            "redirect_uris": [f"{site}/c/oidc/callback" for site in self.sites],
            "post_logout_redirect_uris": [f"{site}/account" for site in self.sites],
            "grant_types": ["authorization_code", "refresh_token"],
        }
        cli = {
            "client_id": "cli",
            "redirect_uris": [f"{site}/cli" for site in self.sites],
            "grant_types": ["authorization_code"],
        }
        return {
            "users": self.users,
            "clients": [registry | both, cli | both],
            "jwks": {"keys": [key]},
            "audience": AUDIENCE,
        }


def _rsa() -> tuple[str, RSAKey | ECKey]:
    return "RS256", RSAKey.generate_key(2048)


def _elliptic() -> tuple[str, RSAKey | ECKey]:
    return "ES256", ECKey.generate_key("P-256")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
