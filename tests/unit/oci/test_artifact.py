"""Artifacts: what a manifest is to a user, and what it hangs on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci import artifact
from entrepot.oci import digest as digests
from entrepot.oci.artifact import Accessory
from entrepot.oci.manifest import Manifest, parse
from entrepot.oci.mediatype import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

SUBJECT = digests.of(b"subject")
TAG = SUBJECT.replace(":", "-")


def described(media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digests.of(b"{}"), "size": 2}


def manifest(config_type: str, *, media_type: str = OCI_MANIFEST, **more: Any) -> Manifest:
    document = {"schemaVersion": 2, "mediaType": media_type, "config": described(config_type), "layers": [], **more}
    return parse(json.dumps(document).encode(), None)


def listing(**more: Any) -> Manifest:
    return parse(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], **more}).encode(), None)


def hanging(kind: str | None = None, config_type: str = "application/vnd.oci.empty.v1+json") -> Manifest:
    subject = {"mediaType": OCI_MANIFEST, "digest": SUBJECT, "size": 7}
    return manifest(config_type, subject=subject, **({"artifactType": kind} if kind else {}))


@pytest.mark.parametrize(
    ("config_type", "kind"),
    [
        ("application/vnd.oci.image.config.v1+json", "IMAGE"),
        ("application/vnd.docker.container.image.v1+json", "IMAGE"),
        ("application/vnd.cncf.helm.config.v1+json", "CHART"),
        ("application/vnd.cnab.config.v1+json", "CNAB"),
        ("application/vnd.wasm.config.v0+json", "WASM"),
        ("application/vnd.goharbor.harbor.sbom.v1", "SBOM"),
        ("application/vnd.cncf.model.config.v1+json", "CNAI"),
        ("application/vnd.acme.rocket.config.v1+json", "ROCKET"),
        ("application/vnd.rocket.config+json", "ROCKET"),
        ("application/vnd.rocket.config", "ROCKET"),
        ("application/vnd.acme.rocket.configuration", "UNKNOWN"),
        ("application/vnd.oci.empty.v1+json", "UNKNOWN"),
        ("application/json", "UNKNOWN"),
        ("application/vnd.config.v1+json", "UNKNOWN"),
    ],
)
def test_the_config_s_type_tells_the_kind(config_type: str, kind: str) -> None:
    assert artifact.kind_of(manifest(config_type)) == kind


def test_a_docker_image_is_an_image() -> None:
    image = manifest("application/vnd.docker.container.image.v1+json", media_type=DOCKER_MANIFEST)
    assert artifact.kind_of(image) == "IMAGE"


def test_the_artifact_type_tells_the_kind_where_the_config_does_not() -> None:
    empty = "application/vnd.oci.empty.v1+json"
    assert artifact.kind_of(manifest(empty, artifactType="application/vnd.cncf.helm.config.v1+json")) == "CHART"
    assert artifact.kind_of(manifest(empty, artifactType="application/vnd.acme.rocket.config.v1+json")) == "ROCKET"
    assert artifact.kind_of(manifest(empty, artifactType="application/vnd.acme.rocket")) == "UNKNOWN"


def test_a_known_config_goes_before_an_artifact_type_that_only_names_itself() -> None:
    helm = "application/vnd.cncf.helm.config.v1+json"
    assert artifact.kind_of(manifest(helm, artifactType="application/vnd.acme.rocket.config.v1+json")) == "CHART"


def test_an_index_is_an_image_whatever_it_says() -> None:
    assert artifact.kind_of(listing()) == "IMAGE"
    assert artifact.kind_of(listing(artifactType="application/vnd.acme.rocket.config.v1+json")) == "IMAGE"


@given(st.text(max_size=200))
def test_a_kind_is_never_empty_and_upper_case(text: str) -> None:
    media_type = "application/vnd." + "".join(c for c in text if c.isascii() and (c.isalnum() or c in ".+-")) + "x"
    kind = artifact.kind_of(manifest(media_type, artifactType=media_type))
    assert kind
    assert kind == kind.upper()


def test_a_type_that_would_take_long_to_match_does_not() -> None:
    assert artifact.kind_of(manifest("application/vnd." + "a." * 5000 + "config!")) == "UNKNOWN"


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/vnd.dev.cosign.artifact.sig.v1+json", "signature.cosign"),
        ("application/vnd.dev.sigstore.bundle.v0.3+json", "signature.cosign"),
        ("application/vnd.cncf.notary.signature", "signature.notation"),
        ("application/vnd.goharbor.harbor.sbom.v1", "sbom.harbor"),
        ("application/vnd.acme.note", "subject.accessory"),
    ],
)
def test_what_has_a_subject_hangs_on_it_as_its_type_says(media_type: str, kind: str) -> None:
    assert artifact.accessory_of(hanging(media_type), []) == Accessory(SUBJECT, kind)
    assert artifact.accessory_of(hanging(config_type=media_type), []) == Accessory(SUBJECT, kind)


def test_an_index_may_hang_on_something_too() -> None:
    subject = {"mediaType": OCI_MANIFEST, "digest": SUBJECT, "size": 7}
    assert artifact.accessory_of(listing(subject=subject), []) == Accessory(SUBJECT, "subject.accessory")


@pytest.mark.parametrize(
    ("ending", "kind"), [("sig", "signature.cosign"), ("att", "subject.accessory"), ("sbom", "subject.accessory")]
)
def test_a_tag_of_cosign_names_what_a_manifest_hangs_on(ending: str, kind: str) -> None:
    plain = manifest("application/vnd.oci.image.config.v1+json")
    assert artifact.accessory_of(plain, ["v1", f"{TAG}.{ending}"]) == Accessory(SUBJECT, kind)
    assert artifact.accessory_by_tag(["v1", f"{TAG}.{ending}"]) == Accessory(SUBJECT, kind)
    assert artifact.is_accessory_tag(f"{TAG}.{ending}")


def test_the_subject_goes_before_a_tag() -> None:
    other = digests.of(b"other").replace(":", "-")
    assert artifact.accessory_of(hanging("application/vnd.cncf.notary.signature"), [f"{other}.sig"]) == Accessory(
        SUBJECT, "signature.notation"
    )


@pytest.mark.parametrize(
    "tag",
    [
        "v1",
        TAG,
        f"{TAG}.sig2",
        f"{TAG}.signature",
        f"x{TAG}.sig",
        f"{TAG[:-1]}.sig",
        f"{TAG.upper()}.sig",
        f"{TAG}.sig\n",
    ],
)
def test_other_tags_name_nothing(tag: str) -> None:
    assert artifact.accessory_of(manifest("application/vnd.oci.image.config.v1+json"), [tag]) is None
    assert artifact.accessory_by_tag([tag]) is None
    assert not artifact.is_accessory_tag(tag)


def test_without_subject_and_tags_a_manifest_hangs_on_nothing() -> None:
    assert artifact.accessory_of(manifest("application/vnd.oci.image.config.v1+json"), []) is None
