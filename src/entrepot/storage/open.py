"""From a name in the configuration to a blob store with its layers."""

from __future__ import annotations

from pathlib import Path

from entrepot.errors import ConfigError
from entrepot.storage.blobstore import BlobStore
from entrepot.storage.verified import VerifiedStore


def open_store(driver: str, *, folder: Path, memory_limit: int) -> VerifiedStore:
    """The store that ``driver`` names, inside the layer that checks digests.

    Raises:
        ConfigError: there is no such driver.
    """
    store: BlobStore
    if driver == "filesystem":
        from entrepot.storage.drivers.filesystem import FilesystemStore  # noqa: PLC0415 - drivers load by name

        store = FilesystemStore(folder)
    elif driver == "memory":
        from entrepot.storage.drivers.memory import MemoryStore  # noqa: PLC0415

        store = MemoryStore(memory_limit)
    else:
        raise ConfigError(f"storage.driver is {driver!r}: use filesystem or memory.")
    return VerifiedStore(store)
