"""The archive of a Helm chart, read with bounds: somebody else wrote it.

Source: Helm's documentation on the chart file structure, and on ``requirements.yaml`` of ``apiVersion: v1``.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from entrepot.errors import InvalidInput

ARCHIVE_LIMIT = 16 * 1024 * 1024
"""Bytes of the largest archive that is opened."""
READ_LIMIT = 64 * 1024 * 1024
"""Bytes that are unpacked, in all."""
FILE_LIMIT = 2 * 1024 * 1024
"""Bytes of the largest file that is shown."""
_YAML_LIMIT = 64 * 1024
_MOST_FILES = 10_000
_MOST_DEPENDENCIES = 500

VALUES = "values.yaml"
README = "readme.md"
CHART = "chart.yaml"
REQUIREMENTS = "requirements.yaml"

_FAULTS = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, ArithmeticError, LookupError)


class _Bounded(io.RawIOBase):
    """Reads what was packed, and no more than the limit."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self._left = READ_LIMIT

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._left:
            size = self._left + 1
        piece = self._source.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise _refusal(f"it holds more than {READ_LIMIT} bytes")
        return piece


def read_files(archive: bytes, wanted: frozenset[str]) -> dict[str, bytes]:
    """The files at the top of the chart whose names, in lower case, are in ``wanted``.

    Raises:
        InvalidInput: the archive is malformed, or larger than the bounds.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(archive)) as unpacked:
            return dict(_read(_Bounded(unpacked), wanted))
    except _FAULTS as error:
        raise _refusal("its archive cannot be read") from error


def _read(source: _Bounded, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    found: set[str] = set()
    with tarfile.open(fileobj=source, mode="r|") as archive:
        for count, member in enumerate(archive):
            if count > _MOST_FILES:
                raise _refusal(f"it holds more than {_MOST_FILES} files")
            parts = member.name.removeprefix("./").split("/")
            name = parts[-1].lower()
            if not member.isreg() or len(parts) != 2 or name not in wanted or name in found:  # noqa: PLR2004 - chart/file
                continue
            if member.size > FILE_LIMIT:
                raise _refusal(f"its {name} is larger than {FILE_LIMIT} bytes")
            content = archive.extractfile(member)
            if content is not None:
                found.add(name)
                yield name, content.read(FILE_LIMIT)
            if found == wanted:
                return


def dependencies(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """What a chart depends on, as Helm writes it down in ``Chart.yaml`` or ``requirements.yaml``.

    Raises:
        InvalidInput: neither can be read.
    """
    chart = _yaml(files.get(CHART, b""))
    if chart.get("apiVersion") == "v1":
        chart = _yaml(files.get(REQUIREMENTS, b""))
    listed = chart.get("dependencies")
    if not isinstance(listed, list):
        return []
    return [_dependency(item) for item in listed[:_MOST_DEPENDENCIES] if isinstance(item, dict)]


def encode(listed: list[dict[str, Any]]) -> bytes:
    """Dependencies as the API answers them."""
    return msgspec.json.encode(listed)


def _dependency(item: dict[Any, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": "", "repository": ""}
    for key in ("name", "version", "repository", "condition", "alias"):
        value = item.get(key)
        if isinstance(value, (str, int, float)):
            shown[key] = str(value)
    if isinstance(item.get("enabled"), bool):
        shown["enabled"] = item["enabled"]
    if isinstance(item.get("tags"), list):
        shown["tags"] = [tag for tag in item["tags"][:_MOST_DEPENDENCIES] if isinstance(tag, str)]
    return shown


def _yaml(content: bytes) -> dict[Any, Any]:
    # Only charts need it, and it takes 10 ms to import.
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415

    if len(content) > _YAML_LIMIT:
        raise _refusal(f"its metadata is larger than {_YAML_LIMIT} bytes")
    try:
        document = yaml.load(content, _loader())  # noqa: S506 - it is a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, TypeError, OverflowError, AttributeError) as error:
        raise _refusal("its YAML cannot be read") from error
    return document if isinstance(document, dict) else {}


@lru_cache(maxsize=1)
def _loader() -> Any:
    """PyYAML's safe loader, without aliases: thirty lines of them can stand for more than any memory holds."""
    import yaml  # noqa: PLC0415

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases are not read")
            return super().compose_node(parent, index)

    return Loader


def _refusal(reason: str) -> InvalidInput:
    return InvalidInput(f"The chart cannot be shown: {reason}.", code="BAD_REQUEST")
