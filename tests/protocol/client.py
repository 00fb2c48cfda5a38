"""The registry's protocol in short words: what the tests push with, and what they check answers with."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.serving import Server

Json = dict[str, Any]

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCTETS = "application/octet-stream"

EMPTY = b"{}"
"""The content of OCI's empty descriptor."""


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, media_type: str = OCI_LAYER, **more: Any) -> Json:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def encoded(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()


def image(config: bytes = EMPTY, *layers: bytes, **more: Any) -> Json:
    """An OCI image manifest; `more` are further fields."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, OCI_CONFIG),
        "layers": [descriptor(layer) for layer in layers],
        **more,
    }


def index(*children: Json, **more: Any) -> Json:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more}


def child(manifest: bytes, media_type: str = OCI_MANIFEST, **more: Any) -> Json:
    """The descriptor of a manifest, for an index or as a subject."""
    return descriptor(manifest, media_type, **more)


def subject_of(manifest: bytes, media_type: str = OCI_MANIFEST) -> Json:
    return descriptor(manifest, media_type)


def errors(answer: httpx.Response) -> list[Json]:
    """The entries of the envelope, which every refusal must have."""
    told = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]!r}"
    assert answer.status_code >= 400, told
    assert answer.headers["Content-Type"] == "application/json", told
    document = answer.json()
    assert list(document) == ["errors"], told
    assert document["errors"], told
    for entry in document["errors"]:
        assert re.fullmatch("[A-Z_]+", entry["code"]), told
        assert entry["message"], told
        assert "Traceback" not in entry["message"], told
        assert set(entry) <= {"code", "message", "detail"}, told
    entries: list[Json] = document["errors"]
    return entries


def refused(answer: httpx.Response, status: int, code: str) -> list[Json]:
    """Check a refusal's status and code; its entries."""
    told = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]!r}"
    entries = errors(answer)
    assert answer.status_code == status, told
    assert {entry["code"] for entry in entries} == {code}, told
    return entries


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    """The parameters of the Bearer challenge of a 401."""
    assert answer.status_code == 401, f"{answer.status_code} {answer.text}"
    scheme, _, rest = answer.headers["WWW-Authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def next_link(answer: httpx.Response) -> str | None:
    """Where the next page is."""
    found = re.fullmatch(r'<([^>]*)>; rel="next"', answer.headers.get("Link", ""))
    return found[1] if found else None


@dataclass(frozen=True)
class Registry:
    """A client with the credentials of one user, or none."""

    server: Server
    http: httpx.Client

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def head(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.http.head(path, headers=headers)

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.http.delete(path, headers=headers)

    def begin(self, repository: str, query: str = "", headers: Mapping[str, str] | None = None) -> str:
        """Start an upload; its location."""
        answer = self.http.post(f"/v2/{repository}/blobs/uploads/{query}", headers=headers)
        assert answer.status_code == 202, f"{answer.status_code} {answer.text}"
        location: str = answer.headers["Location"]
        return location

    def patch(self, location: str, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.patch(location, content=content, headers={"Content-Type": OCTETS} | named)

    def finish(
        self, location: str, digest: str, content: bytes | Iterator[bytes] = b"", **headers: str
    ) -> httpx.Response:
        """PUT the rest; any query of the location is kept."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = httpx.URL(location).copy_merge_params({"digest": digest})
        return self.http.put(url, content=content, headers={"Content-Type": OCTETS} | named)

    def push_blob(self, repository: str, content: bytes, algorithm: str = "sha256") -> str:
        """POST, PUT; the digest."""
        digest = digest_of(content, algorithm)
        answer = self.finish(self.begin(repository), digest, content)
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
        assert answer.headers["Docker-Content-Digest"] == digest
        return digest

    def put_manifest(
        self, repository: str, reference: str, payload: bytes, media_type: str | None = OCI_MANIFEST
    ) -> httpx.Response:
        headers = {"Content-Type": media_type} if media_type else {}
        return self.http.put(f"/v2/{repository}/manifests/{reference}", content=payload, headers=headers)

    def push_manifest(
        self, repository: str, reference: str, payload: bytes, media_type: str | None = OCI_MANIFEST
    ) -> str:
        """PUT a manifest that must be taken; its digest."""
        answer = self.put_manifest(repository, reference, payload, media_type)
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
        digest: str = answer.headers["Docker-Content-Digest"]
        return digest

    def push_image(self, repository: str, reference: str, *layers: bytes, **more: Any) -> bytes:
        """Push config, layers, manifest; the manifest's bytes."""
        for part in (EMPTY, *layers):
            self.push_blob(repository, part)
        payload = encoded(image(EMPTY, *layers, **more))
        self.push_manifest(repository, reference, payload)
        return payload

    def token(self, *scopes: str, **more: str) -> str:
        """An access token for these scopes, for whoever this client is."""
        answer = self.http.get("/service/token", params={"service": "entrepot", "scope": list(scopes), **more})
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        token: str = answer.json()["token"]
        return token


@contextmanager
def client(server: Server, auth: tuple[str, str] | None = None, **more: Any) -> Iterator[Registry]:
    """A client of `server`; anonymous without `auth`."""
    with httpx.Client(base_url=server.url, auth=auth, timeout=30, **more) as http:
        yield Registry(server, http)


@contextmanager
def admin_of(server: Server) -> Iterator[Registry]:
    with client(server, (server.user, server.password)) as registry:
        yield registry


# --- under httpx ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class RawAnswer:
    """What came back over a socket."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def codes(self) -> set[str]:
        """The codes of the error envelope."""
        return {entry["code"] for entry in json.loads(self.body)["errors"]}


@contextmanager
def connected(server: Server, timeout: float = 20.0) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


def head_of(method: str, path: str, *lines: str) -> bytes:
    """A request's head; `lines` are further headers."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: registry.test", *lines, "", "")).encode("latin-1")


def answer_on(sock: socket.socket, method: str = "GET") -> RawAnswer:
    """Read one answer."""
    response = http.client.HTTPResponse(sock, method=method)
    try:
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return RawAnswer(response.status, headers, body)
    finally:
        response.close()


def basic(server: Server) -> str:
    """An Authorization line for a raw request."""
    return "Authorization: " + httpx.BasicAuth(server.user, server.password)._auth_header


# --- beside the protocol --------------------------------------------------------------------------


def entrepot(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "entrepot", *arguments],
        input=text,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_public(server: Server, project: str) -> None:
    """Create a project that everybody may pull from."""
    done = entrepot("project", "create", project, "--public", "--data", str(server.data))
    assert done.returncode == 0, done.stderr


def access_records(server: Server) -> list[Json]:
    """The access records written so far."""
    lines = server.log_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and '"kind":"access"' in line]


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def staged_files(data: Path) -> list[str]:
    """Uploads in progress on disk."""
    folder = data / "staging"
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def metric(exposition: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels."""
    total = 0.0
    for line in exposition.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name:
            here = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if labels.items() <= here.items():
                total += float(found[3])
    return total


def in_pieces(content: bytes, size: int) -> Iterator[bytes]:
    """A body of unknown length: httpx sends it with chunked transfer-encoding."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def follow(registry: Registry, path: str, key: str) -> tuple[list[str], int]:
    """All items of a list, page by page; and the number of pages."""
    items: list[str] = []
    pages = 0
    following: str | None = path
    while following:
        answer = registry.get(following)
        assert answer.status_code == 200, answer.text
        items += answer.json()[key]
        pages += 1
        following = next_link(answer)
    return items, pages


def all_of(names: Sequence[str]) -> list[str]:
    """In byte order, as lists must be."""
    return sorted(names, key=lambda name: name.encode())
