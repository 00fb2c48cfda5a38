"""Repository names and tags: the grammar of the OCI distribution-spec, "Pulling manifests"."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from entrepot.errors import InvalidInput

COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_NAME = re.compile(rf"{COMPONENT.pattern}(?:/{COMPONENT.pattern})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

NAME_LIMIT = 255
"""Characters; many clients refuse more for host and name together."""

DEFAULT_PROJECT = "library"
"""Where a name of one component lives, as on Docker Hub."""


class RepositoryName(msgspec.Struct, frozen=True):
    """A repository name, split where tenancy splits it: the first component is the project."""

    project: str
    path: str

    @property
    def full(self) -> str:
        """Project and path: the name that the catalog shows."""
        return f"{self.project}/{self.path}"


@lru_cache(maxsize=8192)
def parse_name(name: str) -> RepositoryName:
    """The project and the path of ``name``; ``app`` means ``library/app``.

    Raises:
        InvalidInput: ``NAME_INVALID``.
    """
    project, slash, path = name.partition("/")
    parsed = RepositoryName(project, path) if slash else RepositoryName(DEFAULT_PROJECT, name)
    if len(parsed.full) > NAME_LIMIT or not _NAME.fullmatch(name):
        raise InvalidInput(
            "The repository name is not valid: use lower-case letters and digits, separated inside a component by "
            f"one of . _ __ or dashes, components separated by /, at most {NAME_LIMIT} characters.",
            code="NAME_INVALID",
            detail={"name": name[:NAME_LIMIT]},
        )
    return parsed


def is_project_name(name: str) -> bool:
    """Whether ``name`` is one component of the grammar."""
    return len(name) <= NAME_LIMIT and COMPONENT.fullmatch(name) is not None


def is_tag(reference: str) -> bool:
    """Whether ``reference`` is a valid tag."""
    return _TAG.fullmatch(reference) is not None


def parse_tag(tag: str) -> str:
    """``tag`` if it is valid.

    Raises:
        InvalidInput: ``TAG_INVALID``.
    """
    if is_tag(tag):
        return tag
    raise InvalidInput(
        "The tag is not valid: 1 to 128 letters, digits, underscores, dots or dashes, no dot or dash first.",
        code="TAG_INVALID",
        detail={"tag": tag[:256]},
    )
