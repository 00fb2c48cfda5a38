"""What a manifest names: every kind, and every refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.oci import digest as digests
from entrepot.oci import mediatype
from entrepot.oci.manifest import Manifest, fallback_tag, parse, referrer_descriptor
from entrepot.oci.mediatype import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    DOCKER_SCHEMA1_SIGNED,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
)

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def descriptor(content: bytes, media_type: str = LAYER_TYPE, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digests.of(content), "size": len(content), **more}


CONFIG = descriptor(b"config", CONFIG_TYPE)
LAYER = descriptor(b"layer")
CHILD = descriptor(b"child", OCI_MANIFEST)


def encode(**document: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **document}).encode()


def image(media_type: str | None = OCI_MANIFEST, **more: Any) -> bytes:
    typed = {"mediaType": media_type} if media_type else {}
    return encode(**typed, **{"config": CONFIG, "layers": [LAYER], **more})


def index(media_type: str | None = OCI_INDEX, **more: Any) -> bytes:
    typed = {"mediaType": media_type} if media_type else {}
    return encode(**typed, **{"manifests": [CHILD], **more})


def refusal(payload: bytes, content_type: str | None = None) -> str:
    with pytest.raises(InvalidInput) as refused:
        parse(payload, content_type)
    assert refused.value.error_code == "MANIFEST_INVALID"
    assert refused.value.status == 400
    return refused.value.message


def parsed_or_refused(payload: bytes, content_type: str | None) -> Manifest | None:
    """The manifest, or ``None`` if it was refused as it should be."""
    try:
        return parse(payload, content_type)
    except InvalidInput as refused:
        code = refused.error_code
    assert code == "MANIFEST_INVALID"
    return None


def digests_of(manifest: Manifest) -> list[str]:
    return [child.digest for child in manifest.children]


# every kind


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_names_its_config_and_its_layers(media_type: str) -> None:
    parsed = parse(image(media_type), media_type)
    assert parsed.media_type == media_type
    assert parsed.blobs == (CONFIG["digest"], LAYER["digest"])
    assert parsed.children == ()
    assert parsed.config_type == CONFIG_TYPE
    assert not parsed.is_index


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_names_its_children(media_type: str) -> None:
    parsed = parse(index(media_type), media_type)
    assert parsed.media_type == media_type
    assert digests_of(parsed) == [CHILD["digest"]]
    assert parsed.blobs == ()
    assert parsed.is_index


def test_an_empty_index_and_an_image_without_layers_are_fine() -> None:
    assert parse(index(manifests=[]), OCI_INDEX).children == ()
    assert parse(image(layers=[]), OCI_MANIFEST).blobs == (CONFIG["digest"],)


def test_an_index_may_list_an_index() -> None:
    nested = descriptor(b"inner", OCI_INDEX)
    assert digests_of(parse(index(manifests=[nested]), OCI_INDEX)) == [nested["digest"]]


def test_a_layer_named_twice_is_needed_once() -> None:
    assert parse(image(layers=[LAYER, LAYER, CONFIG]), OCI_MANIFEST).blobs == (
        CONFIG["digest"],
        LAYER["digest"],
    )


def test_an_artifact_with_an_unknown_type_is_kept_and_what_it_names_is_protected() -> None:
    payload = encode(config=CONFIG, layers=[LAYER], blobs=[descriptor(b"blob")], manifests=[CHILD])
    parsed = parse(payload, "application/vnd.example.thing.v3+json")
    assert parsed.media_type == "application/vnd.example.thing.v3+json"
    assert set(parsed.blobs) == {CONFIG["digest"], LAYER["digest"], digests.of(b"blob")}
    assert digests_of(parsed) == [CHILD["digest"]]


def test_a_buildkit_cache_index_lists_layers() -> None:
    cache = descriptor(b"cacheconfig", "application/vnd.buildkit.cacheconfig.v0")
    parsed = parse(index(manifests=[LAYER, cache]), OCI_INDEX)
    assert digests_of(parsed) == [LAYER["digest"], cache["digest"]]
    assert parsed.blobs == ()


@pytest.mark.parametrize(
    "layer",
    [
        descriptor(b"far", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        descriptor(b"far", "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        descriptor(b"far", "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"),
        descriptor(b"far", urls=["https://example.com/layer"]),
    ],
)
def test_a_layer_that_is_fetched_from_elsewhere_need_not_be_pushed(layer: dict[str, Any]) -> None:
    assert parse(image(layers=[layer]), OCI_MANIFEST).blobs == (CONFIG["digest"],)


def test_empty_urls_do_not_excuse_a_layer() -> None:
    assert LAYER["digest"] in parse(image(layers=[{**LAYER, "urls": []}]), OCI_MANIFEST).blobs


def test_unknown_fields_data_and_annotations_are_accepted() -> None:
    layer = {**LAYER, "data": "bGF5ZXI=", "platform": {"os": "linux"}, "x": [1, {"y": None}]}
    parsed = parse(image(layers=[layer], annotations={"a": "b"}, custom={"deep": [1]}), OCI_MANIFEST)
    assert parsed.annotations == {"a": "b"}


def test_sha512_digests_are_fine_everywhere() -> None:
    config = {**CONFIG, "digest": digests.of(b"config", "sha512")}
    subject = {**CHILD, "digest": digests.of(b"subject", "sha512")}
    parsed = parse(image(config=config, subject=subject), OCI_MANIFEST)
    assert config["digest"] in parsed.blobs
    assert parsed.subject == subject["digest"]


def test_a_subject_is_named_and_is_no_content_that_must_be_there() -> None:
    parsed = parse(image(subject=CHILD), OCI_MANIFEST)
    assert parsed.subject == CHILD["digest"]
    assert CHILD["digest"] not in parsed.blobs
    assert parse(index(manifests=[], subject=CHILD), OCI_INDEX).subject == CHILD["digest"]


# the content type


def test_the_content_type_stands_in_for_a_missing_media_type() -> None:
    assert parse(image(None), DOCKER_MANIFEST).media_type == DOCKER_MANIFEST


def test_the_media_type_stands_in_for_a_missing_content_type() -> None:
    assert parse(image(DOCKER_MANIFEST), None).media_type == DOCKER_MANIFEST
    assert parse(image(DOCKER_MANIFEST), "").media_type == DOCKER_MANIFEST


def test_without_either_the_shape_decides() -> None:
    assert parse(image(None), None).media_type == OCI_MANIFEST
    assert parse(index(None), None).media_type == OCI_INDEX
    assert parse(index(None, manifests=[]), None).media_type == OCI_INDEX


@pytest.mark.parametrize(
    "content_type", [f"{OCI_MANIFEST}; charset=utf-8", f"  {OCI_MANIFEST} ;a=b;c=d", OCI_MANIFEST.upper()]
)
def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str) -> None:
    assert parse(image(), content_type).media_type == OCI_MANIFEST


def test_a_content_type_that_differs_from_the_media_type_is_refused_naming_both() -> None:
    message = refusal(image(OCI_MANIFEST), DOCKER_MANIFEST)
    assert OCI_MANIFEST in message
    assert DOCKER_MANIFEST in message


@pytest.mark.parametrize("content_type", ["nonsense", "a/b/c", "application/", "/json", "application/a b", "é/é"])
def test_a_malformed_content_type_is_refused(content_type: str) -> None:
    refusal(image(None), content_type)


@pytest.mark.parametrize("media_type", ["nonsense", "application/x\r\nSet-Cookie: a=b", "application/" + "x" * 200])
def test_a_malformed_media_type_in_the_document_is_refused(media_type: str) -> None:
    refusal(image(media_type), None)


# refusals


@pytest.mark.parametrize("media_type", [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED])
def test_schema_1_is_refused_by_its_content_type(media_type: str) -> None:
    assert "schema 1" in refusal(json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), media_type)


def test_schema_1_is_refused_whatever_it_claims_to_be() -> None:
    assert "schema 1" in refusal(json.dumps({"schemaVersion": 1, "name": "a"}).encode(), None)
    assert "schema 1" in refusal(json.dumps({"schemaVersion": 1, "config": CONFIG}).encode(), OCI_MANIFEST)
    assert "schema 1" in refusal(image(fsLayers=[{"blobSum": "sha256:00"}]), OCI_MANIFEST)


def test_an_image_that_lists_manifests_is_refused() -> None:
    for media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        refusal(image(media_type, manifests=[CHILD]), media_type)
        refusal(image(media_type, manifests=[]), media_type)


def test_an_index_with_config_or_layers_is_refused() -> None:
    for media_type in (OCI_INDEX, DOCKER_LIST):
        refusal(index(media_type, config=CONFIG), media_type)
        refusal(index(media_type, layers=[LAYER]), media_type)
        refusal(index(media_type, layers=[]), media_type)


def test_a_document_with_the_fields_of_both_and_no_type_is_refused() -> None:
    refusal(encode(config=CONFIG, layers=[LAYER], manifests=[CHILD]), None)


def test_an_image_without_config_is_refused() -> None:
    refusal(encode(mediaType=OCI_MANIFEST, layers=[]), OCI_MANIFEST)


@pytest.mark.parametrize("version", [None, 0, 3, -1, 99, "2", 2.5, True, [2]])
def test_another_schema_version_is_refused(version: object) -> None:
    refusal(image(schemaVersion=version), OCI_MANIFEST)


@pytest.mark.parametrize(
    "broken",
    [
        {"mediaType": LAYER_TYPE, "digest": "sha256:short", "size": 1},
        {"mediaType": LAYER_TYPE, "digest": "sha384:" + "a" * 96, "size": 1},
        {"mediaType": LAYER_TYPE, "digest": "../../etc/passwd", "size": 1},
        {"mediaType": LAYER_TYPE, "digest": digests.of(b"x"), "size": -1},
        {"mediaType": LAYER_TYPE, "digest": digests.of(b"x"), "size": "1"},
        {"mediaType": LAYER_TYPE, "digest": digests.of(b"x")},
        {"mediaType": LAYER_TYPE, "size": 1},
        {"digest": 5, "mediaType": LAYER_TYPE, "size": 1},
        "sha256",
        None,
    ],
)
def test_a_broken_descriptor_is_refused_wherever_it_stands(broken: object) -> None:
    refusal(image(layers=[LAYER, broken]), OCI_MANIFEST)
    refusal(index(manifests=[broken]), OCI_INDEX)
    refusal(encode(layers=[broken]), "application/vnd.example+json")
    if broken is not None:
        refusal(image(config=broken), OCI_MANIFEST)
        refusal(image(subject=broken), OCI_MANIFEST)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"2",
        b'"manifest"',
        b"{",
        b"\xff\xfe",
        b'{"schemaVersion": 2, "annotations": {"a": "\xff"}}',
        b"{}",
        b'{"schemaVersion":2}garbage',
        b"<xml/>",
    ],
)
def test_what_is_no_json_document_is_refused(payload: bytes) -> None:
    refusal(payload, OCI_MANIFEST)


@pytest.mark.parametrize("field", ["signatures", "custom", "annotations"])
def test_a_document_nested_without_end_is_refused_rather_than_a_failure_of_ours(field: str) -> None:
    depth = 100_000
    payload = b'{"schemaVersion":2,"' + field.encode() + b'":' + b"[" * depth + b"]" * depth + b"}"
    refusal(payload, OCI_INDEX)


@given(st.binary(max_size=200))
def test_any_bytes_are_either_a_manifest_or_refused(payload: bytes) -> None:
    parsed_or_refused(payload, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "mediaType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "artifactType",
    "blobs",
    "x",
]


@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values | st.just([LAYER]) | st.just(CONFIG), max_size=5),
    st.sampled_from([None, OCI_MANIFEST, OCI_INDEX, "application/vnd.example+json"]),
)
def test_any_document_is_either_a_manifest_or_refused(document: dict[str, object], content_type: str | None) -> None:
    parsed = parsed_or_refused(encode(**document), content_type)
    if parsed is not None:
        for digest in (*parsed.blobs, *digests_of(parsed)):
            assert digests.parse(digest)


# referrers


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (image(subject=CHILD, artifactType="application/vnd.example"), "application/vnd.example"),
        (image(subject=CHILD), CONFIG_TYPE),
        (image(subject=CHILD, artifactType=""), CONFIG_TYPE),
        (image(subject=CHILD, config=descriptor(b"{}", OCI_EMPTY), artifactType="a/b"), "a/b"),
        (image(subject=CHILD, config=descriptor(b"{}", OCI_EMPTY)), OCI_EMPTY),
        (index(subject=CHILD, artifactType="application/vnd.example"), "application/vnd.example"),
        (index(subject=CHILD), None),
    ],
)
def test_the_referrers_list_shows_the_artifact_type_that_the_spec_says(payload: bytes, expected: str | None) -> None:
    manifest = parse(payload, None)
    assert manifest.referrer_type == expected
    shown = json.loads(referrer_descriptor(manifest, digests.of(payload), len(payload)))
    assert shown.get("artifactType") == expected
    assert shown["digest"] == digests.of(payload)
    assert shown["size"] == len(payload)
    assert shown["mediaType"] == manifest.media_type


def test_the_referrers_list_shows_the_annotations_and_no_empty_fields() -> None:
    payload = index(subject=CHILD, annotations={"org.example": "ü"})
    shown = json.loads(referrer_descriptor(parse(payload, None), digests.of(payload), len(payload)))
    assert shown["annotations"] == {"org.example": "ü"}
    assert "artifactType" not in shown
    assert "urls" not in shown


def test_the_fallback_tag_is_the_digest_with_a_dash() -> None:
    assert fallback_tag("sha256:" + "a" * 64) == "sha256-" + "a" * 64


def test_the_fallback_tag_of_sha512_is_cut_to_a_valid_tag() -> None:
    assert fallback_tag("sha512:" + "b" * 128) == "sha512-" + "b" * 64


def test_the_fallback_tag_of_a_long_algorithm_is_cut_too() -> None:
    assert fallback_tag("x" * 40 + ":" + "c" * 100) == "x" * 32 + "-" + "c" * 64


# media types


def test_a_media_type_is_bare_and_lower_case_without_its_parameters() -> None:
    assert mediatype.bare(" Application/JSON ; charset=utf-8") == "application/json"
    assert mediatype.bare("") == ""
