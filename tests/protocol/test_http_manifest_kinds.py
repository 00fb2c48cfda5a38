"""What a manifest may be and name: every kind that some client pushes."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.protocol.client import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Json,
    Registry,
    admin_of,
    child,
    descriptor,
    digest_of,
    encoded,
    image,
    index,
    refused,
    subject_of,
)
from tests.serving import serving

CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def kept(registry: Registry, repository: str, document: Json, media_type: str) -> None:
    """Push a document that must be taken and served as it is."""
    payload = encoded(document)
    digest = registry.push_manifest(repository, "kept", payload, media_type)
    answer = registry.get(f"/v2/{repository}/manifests/{digest}")
    assert (answer.content, answer.headers["Content-Type"]) == (payload, media_type)


# --- docker ---------------------------------------------------------------------------------------


def docker_image() -> Json:
    return {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": descriptor(EMPTY, "application/vnd.docker.container.image.v1+json"),
        "layers": [descriptor(b"layer", "application/vnd.docker.image.rootfs.diff.tar.gzip")],
    }


def test_docker_schema_2_and_manifest_lists_are_first_class(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    admin.push_blob(repository, b"layer")
    kept(admin, repository, docker_image(), DOCKER_MANIFEST)
    platform = {"architecture": "arm64", "os": "linux", "variant": "v8"}
    entry = child(encoded(docker_image()), DOCKER_MANIFEST, platform=platform)
    kept(
        admin,
        repository,
        {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry]},
        DOCKER_LIST,
    )


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        None,
    ],
)
def test_docker_schema_1_is_refused_with_words_that_help(
    admin: Registry, repository: str, media_type: str | None
) -> None:
    document = {
        "schemaVersion": 1,
        "name": repository,
        "tag": "1",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": digest_of(b"layer")}],
        "history": [{"v1Compatibility": "{}"}],
        "signatures": [{"header": {"alg": "ES256"}}],
    }
    told = refused(admin.put_manifest(repository, "1", encoded(document), media_type), 400, "MANIFEST_INVALID")
    assert "schema" in told[0]["message"]


# --- indexes --------------------------------------------------------------------------------------


def test_an_index_of_images(admin: Registry, repository: str) -> None:
    first, second = (admin.push_image(repository, name, name.encode()) for name in ("one", "two"))
    kept(admin, repository, index(child(first), child(second), child(first)), OCI_INDEX)


def test_an_empty_index(admin: Registry, repository: str) -> None:
    kept(admin, repository, index(), OCI_INDEX)


def test_a_nested_index(admin: Registry, repository: str) -> None:
    inner = encoded(index(child(admin.push_image(repository, "leaf"))))
    admin.push_manifest(repository, "inner", inner, OCI_INDEX)
    kept(admin, repository, index(child(inner, OCI_INDEX)), OCI_INDEX)


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_a_buildkit_cache_lists_layers_where_manifests_are_expected(
    admin: Registry, repository: str, media_type: str
) -> None:
    for part in (b"cached layer", b"{}  "):
        admin.push_blob(repository, part)
    children = [
        descriptor(b"cached layer", OCI_LAYER, annotations={"buildkit/createdat": "2026-01-01T00:00:00Z"}),
        descriptor(b"{}  ", CACHE_CONFIG),
    ]
    kept(
        admin,
        repository,
        {"schemaVersion": 2, "mediaType": media_type, "manifests": children},
        media_type,
    )
    # and what it lists must not be deleted under it
    refused(admin.delete(f"/v2/{repository}/blobs/{digest_of(b'cached layer')}"), 405, "UNSUPPORTED")


def test_an_index_whose_child_is_missing_is_refused(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    absent = child(b"never pushed")
    told = refused(admin.put_manifest(repository, "1", encoded(index(absent)), OCI_INDEX), 400, "MANIFEST_BLOB_UNKNOWN")
    assert told[0]["detail"]["digest"] == absent["digest"]


def test_a_child_in_another_repository_does_not_count(admin: Registry, repository: str, other_repository: str) -> None:
    payload = admin.push_image(other_repository, "1")
    admin.push_blob(repository, EMPTY)
    answer = admin.put_manifest(repository, "1", encoded(index(child(payload))), OCI_INDEX)
    refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


# --- what is named --------------------------------------------------------------------------------


def test_every_missing_digest_is_listed(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, b"present")
    layers = [b"present", *(b"absent %d" % number for number in range(12))]
    answer = admin.put_manifest(repository, "1", encoded(image(b"no config", *layers)))
    told = refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")
    missing = {digest_of(b"no config"), *(digest_of(layer) for layer in layers[1:])}
    assert {entry["detail"]["digest"] for entry in told} == missing
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == []


def test_a_blob_of_another_repository_is_missing_here(admin: Registry, repository: str, other_repository: str) -> None:
    admin.push_blob(other_repository, b"over there")
    admin.push_blob(repository, EMPTY)
    answer = admin.put_manifest(repository, "1", encoded(image(EMPTY, b"over there")))
    refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize(
    "layer",
    [
        descriptor(b"elsewhere", FOREIGN, urls=["https://example.com/layer"]),
        descriptor(b"elsewhere", FOREIGN),
        descriptor(b"elsewhere", NONDISTRIBUTABLE),
        descriptor(b"elsewhere", NONDISTRIBUTABLE.replace("+gzip", "+zstd")),
        descriptor(b"elsewhere", OCI_LAYER, urls=["https://example.com/layer"]),
    ],
)
def test_layers_that_lie_elsewhere_need_not_be_pushed(admin: Registry, repository: str, layer: Json) -> None:
    admin.push_blob(repository, EMPTY)
    kept(admin, repository, image(layers=[layer]), OCI_MANIFEST)


def test_a_subject_need_not_exist(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    absent = subject_of(b"pushed later, or never")
    answer = admin.put_manifest(repository, "1", encoded(image(subject=absent)))
    assert answer.status_code == 201
    assert answer.headers["OCI-Subject"] == absent["digest"]


def test_an_index_may_have_a_subject(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    answer = admin.put_manifest(repository, "2", encoded(index(subject=subject_of(payload))), OCI_INDEX)
    assert answer.status_code == 201
    assert answer.headers["OCI-Subject"] == digest_of(payload)


# --- unknown things are kept ----------------------------------------------------------------------


def test_an_artifact_without_layers_of_an_unknown_type(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    document = image(artifactType="application/vnd.example.never-heard-of.v7", annotations={"a": "\u00e4"})
    document["config"] = descriptor(EMPTY, OCI_EMPTY, data=base64.b64encode(EMPTY).decode())
    kept(admin, repository, document, OCI_MANIFEST)


def test_fields_that_nobody_knows_are_kept(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    document = image(annotations={"k": "v"}) | {"org.example.field": [1, {"x": None}]}
    document["config"]["platform"] = {"os": "plan9", "x": 1}
    kept(admin, repository, document, OCI_MANIFEST)


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.example.thing.v1+json", "application/vnd.cncf.oras.artifact.manifest.v1+json"],
)
def test_a_manifest_of_an_unknown_media_type_is_kept(admin: Registry, repository: str, media_type: str) -> None:
    admin.push_blob(repository, b"thing")
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "blobs": [descriptor(b"thing", "text/plain")],
        "more": 1,
    }
    kept(admin, repository, document, media_type)


def test_layers_of_any_type(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    types = ["application/wasm", "text/plain", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"]
    for media_type in types:
        admin.push_blob(repository, media_type.encode())
    layers = [descriptor(media_type.encode(), media_type) for media_type in types]
    kept(admin, repository, image(layers=layers), OCI_MANIFEST)


def test_one_blob_named_many_times(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    kept(admin, repository, image(EMPTY, EMPTY, EMPTY, EMPTY), OCI_MANIFEST)


def test_sha512_layers(admin: Registry, repository: str) -> None:
    digest = admin.push_blob(repository, EMPTY, "sha512")
    layer = {"mediaType": OCI_LAYER, "digest": digest, "size": len(EMPTY)}
    kept(admin, repository, image() | {"config": layer, "layers": [layer]}, OCI_MANIFEST)


def test_a_manifest_with_a_thousand_layers(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    layers = [descriptor(b"%d" % number, NONDISTRIBUTABLE) for number in range(1000)]
    kept(admin, repository, image(layers=layers), OCI_MANIFEST)


# --- sparse ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    environment = {"ENTREPOT_REGISTRY_SPARSE": "true"}
    with (
        serving(tmp_path_factory.mktemp("sparse") / "data", environment=environment) as server,
        admin_of(server) as registry,
    ):
        yield registry


def test_a_sparse_registry_takes_manifests_of_what_was_never_pushed(sparse: Registry) -> None:
    kept(sparse, "demo/sparse", image(b"absent config", b"absent layer"), OCI_MANIFEST)
    kept(sparse, "demo/sparse", index(child(b"absent child")), OCI_INDEX)
    assert sparse.head(f"/v2/demo/sparse/blobs/{digest_of(b'absent layer')}").status_code == 404


def test_projects_come_with_the_first_push_unless_that_is_forbidden(
    admin: Registry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    admin.push_image("made-by-push/deep/er", "1")
    environment = {"ENTREPOT_REGISTRY_CREATE_PROJECTS": "false"}
    with (
        serving(tmp_path_factory.mktemp("no-projects") / "data", environment=environment) as server,
        admin_of(server) as registry,
    ):
        answer = registry.http.post("/v2/made-by-push/app/blobs/uploads/")
        assert answer.status_code in {403, 404}
        refused(answer, answer.status_code, "DENIED" if answer.status_code == 403 else "NAME_UNKNOWN")
        refused_manifest = registry.put_manifest("made-by-push/app", "1", encoded(index()), OCI_INDEX)
        assert refused_manifest.status_code in {403, 404}
