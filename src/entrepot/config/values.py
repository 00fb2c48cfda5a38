"""How single values are read: addresses and files."""

from __future__ import annotations

from pathlib import Path

from entrepot.errors import ConfigError


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[v6]:port`` or ``:port``.

    Raises:
        ValueError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    is_number = port.isascii() and port.isdigit() and len(port) <= 5  # noqa: PLR2004 - the largest port's digits
    if not colon or not is_number or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ValueError(f"{text!r} is not an address: write host:port, such as 127.0.0.1:5000")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by ":5000"


def read_file(path: Path, setting: str) -> bytes:
    """The bytes of a file that a setting names.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}.") from None
