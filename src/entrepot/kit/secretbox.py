"""Secrets at rest: sealed with a key that is not in the database.

Keys are Fernet keys (AES-128-CBC with HMAC-SHA256). The first seals; any of them opens, so that they can be rotated
while servers run.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from entrepot.errors import ConfigError, Unreadable


class SecretBox:
    """Seals and opens short texts; reads its key file again when something was sealed with a newer key."""

    def __init__(self, *, keys: str = "", path: Path | None = None) -> None:
        """``keys`` (one or several, with commas between) or else a file with one a line.

        Raises:
            ConfigError: there is no key, or it is none.
        """
        self._path = None if keys else path
        self._stamp: tuple[int, int] | None = None
        self._stamp = self._look()
        self._fernet = self._parse(keys) if keys else self._read()

    def seal(self, text: str) -> bytes:
        """``text`` for the database."""
        # After a rotation the old key leaves the file: what was still sealed with it would be lost.
        stamp = self._look()
        if stamp != self._stamp:
            self._fernet, self._stamp = self._read(), stamp
        return self._fernet.encrypt(text.encode("utf-8", "surrogatepass"))

    def open(self, sealed: bytes) -> str:
        """What ``seal`` was given.

        Raises:
            Unreadable: it was sealed with a key that is not here.
        """
        try:
            return self._decrypt(sealed)
        except InvalidToken:
            pass
        if self._path is not None:
            self._fernet = self._read()  # another process may have rotated the keys
            try:
                return self._decrypt(sealed)
            except InvalidToken:
                pass
        raise Unreadable("A secret was sealed with a key that is not here: bring back the key, or set the secret anew.")

    def reseal(self, sealed: bytes) -> bytes:
        """The same under the first key.

        Raises:
            Unreadable: it was sealed with a key that is not here.
        """
        return self.seal(self.open(sealed))

    def _decrypt(self, sealed: bytes) -> str:
        return self._fernet.decrypt(sealed).decode("utf-8", "surrogatepass")

    def _look(self) -> tuple[int, int] | None:
        """What changes with every replacement of the file; ``None``: there is none to look at."""
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return self._stamp  # for the moment the key that is known serves
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> MultiFernet:
        if self._path is None:
            raise ConfigError("secrets: name a key or a key file.")
        try:
            return self._parse(self._path.read_text().replace("\n", ","))
        except OSError as error:
            raise ConfigError(f"secrets: {self._path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise ConfigError(f"secrets: {self._path} holds no key.") from None

    @staticmethod
    def _parse(text: str) -> MultiFernet:
        try:
            return MultiFernet([Fernet(part.strip()) for part in text.split(",") if part.strip()])
        except ValueError:
            raise ConfigError(
                "secrets: a key is 32 random bytes in URL-safe base64; make one with: entrepot secrets key"
            ) from None


def new_key() -> str:
    """A new key."""
    return Fernet.generate_key().decode()


def ensure_key_file(path: Path) -> None:
    """Make a key file, readable by its owner only, if there is none."""
    if not path.exists():
        staging = _stage(path, [new_key()])
        try:
            os.link(staging, path)  # whoever is first wins: nobody's sealed secrets lose their key
        except FileExistsError:
            pass
        finally:
            os.unlink(staging)


def read_keys(path: Path) -> list[str]:
    """The keys of a file, the one that seals first."""
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def write_keys(path: Path, keys: list[str]) -> None:
    """Replace a key file in one step; owner and mode stay, since a server that runs as somebody else must read it."""
    staging = _stage(path, keys)
    if path.exists():
        known = os.stat(path)
        os.chmod(staging, known.st_mode & 0o777)
        if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(staging, known.st_uid, known.st_gid)
    os.replace(staging, path)


def _stage(path: Path, keys: list[str]) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = path.with_name(f"{path.name}.{os.getpid()}.new")
    fd = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, ("\n".join(keys) + "\n").encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    return staging
