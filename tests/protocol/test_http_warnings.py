"""Warnings: it was done, but (distribution-spec, "Warnings")."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.protocol.client import EMPTY, OCI_MANIFEST, Registry, admin_of, digest_of
from tests.serving import Server, free_port

WARNING = re.compile(r'299 - "(?:[^"\\]|\\.)+"')


def manifest_of(*layers: dict[str, object]) -> bytes:
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(EMPTY), "size": len(EMPTY)}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": list(layers)}
    return json.dumps(document).encode()


def absent(kind: str) -> dict[str, object]:
    return {"mediaType": f"application/vnd.oci.image.layer.{kind}", "digest": digest_of(b"absent"), "size": 6}


def test_a_push_of_what_is_complete_carries_no_warning(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    answer = admin.put_manifest(repository, "1", manifest_of())
    assert answer.status_code == 201
    assert "Warning" not in answer.headers


def test_layers_kept_elsewhere_are_warned_of(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    answer = admin.put_manifest(repository, "1", manifest_of(absent("nondistributable.v1.tar")))
    assert answer.status_code == 201
    assert WARNING.fullmatch(answer.headers["Warning"])
    assert "elsewhere" in answer.headers["Warning"]


def test_a_sparse_manifest_is_warned_of(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", port=free_port(), environment={"ENTREPOT_REGISTRY_SPARSE": "true"})
    server.start()
    try:
        with admin_of(server) as admin:
            admin.push_blob("demo/app", EMPTY)
            answer = admin.put_manifest("demo/app", "1", manifest_of(absent("v1.tar")))
    finally:
        server.stop()
    assert answer.status_code == 201
    assert WARNING.fullmatch(answer.headers["Warning"])
    assert "not in the repository" in answer.headers["Warning"]
