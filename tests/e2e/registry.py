"""The registry as plain HTTP shows it: what the tests check the clients' words against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
)
from tests.serving import Server

ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_LIST}, {DOCKER_MANIFEST}"


@dataclass(frozen=True)
class Manifest:
    """A manifest as the registry serves it, byte for byte."""

    raw: bytes
    media_type: str
    digest: str
    """What the registry says; `Registry.manifest` compares it with the bytes."""

    document: dict[str, Any]


@dataclass(frozen=True)
class Registry:
    """Questions to a started server, asked with Basic credentials."""

    server: Server
    http: httpx.Client

    @property
    def address(self) -> str:
        return self.server.address

    def name(self, repository: str, reference: str = "") -> str:
        """`ADDRESS/REPOSITORY[:TAG]`, or `@` before a digest: what clients take."""
        separator = "" if not reference else "@" if ":" in reference else ":"
        return f"{self.address}/{repository}{separator}{reference}"

    def url(self, repository: str, reference: str = "") -> str:
        """The same as skopeo takes it."""
        return f"docker://{self.name(repository, reference)}"

    def manifest(self, repository: str, reference: str) -> Manifest:
        answer = self.http.get(f"/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPT})
        assert answer.status_code == 200, f"{answer.request.url}: {answer.status_code} {answer.text}"
        digest = answer.headers["Docker-Content-Digest"]
        assert digest == digest_of(answer.content)
        if ":" in reference:
            assert digest == reference
        return Manifest(answer.content, answer.headers["Content-Type"], digest, answer.json())

    def status(self, repository: str, reference: str) -> int:
        """Status of HEAD manifest."""
        return self.http.head(f"/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPT}).status_code

    def blob(self, repository: str, digest: str) -> bytes:
        answer = self.http.get(f"/v2/{repository}/blobs/{digest}")
        assert answer.status_code == 200, f"{answer.request.url}: {answer.status_code} {answer.text}"
        assert digest_of(answer.content) == digest
        return answer.content

    def tags(self, repository: str) -> list[str]:
        answer = self.http.get(f"/v2/{repository}/tags/list")
        assert answer.status_code == 200, answer.text
        tags: list[str] = answer.json()["tags"]
        return tags

    def check_whole(self, repository: str, reference: str) -> Manifest:
        """Fetch a manifest and all below it; every byte must be there and have its digest."""
        manifest = self.manifest(repository, reference)
        for child in manifest.document.get("manifests", []):
            self.check_whole(repository, child["digest"])
        for blob in [manifest.document.get("config"), *manifest.document.get("layers", [])]:
            if blob is not None:
                assert len(self.blob(repository, blob["digest"])) == blob["size"]
        return manifest

    def finish_upload(self, location: str, digest: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """PUT the last bytes; a query in `location` is kept, as clients must."""
        answer = self.http.put(
            httpx.URL(location).copy_merge_params({"digest": digest}),
            content=content,
            headers={"Content-Type": "application/octet-stream", **headers},
        )
        assert answer.status_code == 201, answer.text
        return answer

    def push_blob(self, repository: str, content: bytes) -> str:
        """POST and PUT; return the digest."""
        begun = self.http.post(f"/v2/{repository}/blobs/uploads/")
        assert begun.status_code == 202, begun.text
        digest = digest_of(content)
        self.finish_upload(begun.headers["Location"], digest, content)
        return digest

    def push_manifest(
        self, repository: str, reference: str, content: bytes, media_type: str = OCI_MANIFEST
    ) -> httpx.Response:
        answer = self.http.put(
            f"/v2/{repository}/manifests/{reference}",
            content=content,
            headers={"Content-Type": media_type},
        )
        assert answer.status_code == 201, answer.text
        return answer


@contextmanager
def looking_at(server: Server) -> Iterator[Registry]:
    credentials = (server.user, server.password)
    with httpx.Client(base_url=server.url, auth=credentials, timeout=30) as http:
        yield Registry(server, http)
