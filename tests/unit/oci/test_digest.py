"""Digests: their grammar, their compact form, hashing."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.oci import digest as digests

HEX = "0123456789abcdef"

valid_digests = st.one_of(
    st.text(HEX, min_size=64, max_size=64).map("sha256:{}".format),
    st.text(HEX, min_size=128, max_size=128).map("sha512:{}".format),
)

EMPTY_SHA256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(valid_digests)
def test_a_valid_digest_parses_to_itself(digest: str) -> None:
    assert digests.parse(digest) == digest


@given(valid_digests)
def test_packing_and_unpacking_gives_the_digest_back(digest: str) -> None:
    packed = digests.pack(digest)
    assert digests.unpack(packed) == digest
    assert len(packed) == (33 if digest.startswith("sha256") else 65)


@given(valid_digests, valid_digests)
def test_two_digests_pack_alike_only_when_they_are_alike(first: str, second: str) -> None:
    assert (digests.pack(first) == digests.pack(second)) == (first == second)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        ":" + "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "SHA256:" + "a" * 64,
        " sha256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha256:" + "a" * 64 + ":" + "a" * 64,
        "sha256:" + "é" * 64,
        "sha256:" + "٣" * 64,
        "sha512:" + "a" * 64,
        "sha256:" + "a" * 128,
        "sha384:" + "a" * 96,
        "md5:" + "a" * 32,
        "blake3:" + "a" * 64,
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
        "sha256:../../../../etc/passwd",
    ],
)
def test_what_is_no_digest_is_refused_as_digest_invalid(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        digests.parse(text)
    assert refused.value.error_code == "DIGEST_INVALID"
    assert refused.value.status == 400


def test_an_unknown_algorithm_is_named_in_the_refusal() -> None:
    with pytest.raises(InvalidInput, match="sha384"):
        digests.parse("sha384:" + "a" * 96)


def test_the_refusal_of_an_endless_digest_is_short() -> None:
    with pytest.raises(InvalidInput) as refused:
        digests.parse("sha256:" + "a" * 1_000_000)
    assert len(repr(refused.value.detail)) < 400
    assert len(refused.value.message) < 400


@given(st.text(max_size=80))
def test_any_text_is_either_a_digest_or_refused(text: str) -> None:
    try:
        parsed = digests.parse(text)
    except InvalidInput:
        return
    assert re.fullmatch(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}", parsed)


@given(st.binary(max_size=300), st.sampled_from(["sha256", "sha512"]))
def test_the_digest_of_content_is_its_hash(content: bytes, algorithm: str) -> None:
    assert digests.of(content, algorithm) == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert digests.algorithm_of(digests.of(content, algorithm)) == algorithm


@given(st.lists(st.binary(max_size=50), max_size=8), st.sampled_from(["sha256", "sha512"]))
def test_a_hasher_fed_in_pieces_agrees_with_the_whole(pieces: list[bytes], algorithm: str) -> None:
    state = digests.hasher(algorithm)
    for piece in pieces:
        state.update(piece)
    assert f"{algorithm}:{state.hexdigest()}" == digests.of(b"".join(pieces), algorithm)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "", "SHA256", "shake_128", "x" * 1000])
def test_there_is_no_hasher_for_other_algorithms(algorithm: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        digests.hasher(algorithm)
    assert refused.value.error_code == "DIGEST_INVALID"
    assert len(refused.value.message) < 200


def test_the_digest_of_nothing_is_the_well_known_one() -> None:
    assert digests.of(b"") == EMPTY_SHA256


def test_a_reference_with_a_colon_is_a_digest_and_one_without_a_tag() -> None:
    assert digests.is_digest(EMPTY_SHA256)
    assert not digests.is_digest("v1.0_rc-1")
