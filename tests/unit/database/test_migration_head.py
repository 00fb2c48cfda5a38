"""The schema's version: the constant and the files agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from entrepot.database import migrate

VERSIONS = Path(migrate.__file__).with_name("migrations") / "versions"


def revisions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for path in sorted(VERSIONS.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"revision_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert path.name.startswith(f"{module.revision}_")
        assert module.revision not in found
        found[module.revision] = module.down_revision
    return found


def test_head_is_the_newest_revision() -> None:
    found = revisions()
    newest = set(found) - set(found.values())
    assert newest == {migrate.HEAD}


def test_the_revisions_are_one_line_from_the_first() -> None:
    found = revisions()
    walked = []
    revision: str | None = migrate.HEAD
    while revision is not None:
        walked.append(revision)
        revision = found[revision]
    assert sorted(walked) == sorted(found)
