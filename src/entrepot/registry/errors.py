"""What only a registry can refuse."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.errors import InvalidInput, NotFound

_MOST_NAMED = 50


class RepositoryUnknown(NotFound):
    """No repository of that name, for this caller."""

    code = "NAME_UNKNOWN"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no repository {name} in this registry.", detail={"name": name})


class ManifestUnknown(NotFound):
    """No such tag or manifest in the repository."""

    code = "MANIFEST_UNKNOWN"

    def __init__(self, name: str, reference: str) -> None:
        super().__init__(f"There is no manifest {reference} in {name}.", detail={"name": name, "reference": reference})


class BlobUnknown(NotFound):
    """The repository holds no such blob."""

    code = "BLOB_UNKNOWN"

    def __init__(self, name: str, digest: str) -> None:
        super().__init__(f"There is no blob {digest} in {name}: push or mount it there.", detail={"digest": digest})


class UploadUnknown(NotFound):
    """No such upload session in this repository: it ended, expired or never was."""

    code = "BLOB_UPLOAD_UNKNOWN"

    def __init__(self, session: str) -> None:
        super().__init__("There is no such upload: begin a new one.", detail={"upload": session[:64]})


class ContentMissing(InvalidInput):
    """A manifest names content that the repository does not hold."""

    code = "MANIFEST_BLOB_UNKNOWN"

    def __init__(self, name: str, digests: Sequence[str]) -> None:
        super().__init__(
            f"The manifest names content that is not in {name}: push it there first.",
            detail=[{"digest": digest} for digest in digests[:_MOST_NAMED]],
        )
