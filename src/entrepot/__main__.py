"""``entrepot`` and ``python -m entrepot``."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile

_PREFIX = "entrepot-metrics-"


def main() -> None:
    """Run the command line."""
    if "serve" in sys.argv[1:]:
        # prometheus-client decides at its import where the values shared by the workers live.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_folder()
    from entrepot.cli import app  # noqa: PLC0415 - imports prometheus-client

    app()


def _metrics_folder() -> str:
    """A new folder; those of servers that were killed are swept away."""
    parent = tempfile.gettempdir()
    for name in os.listdir(parent):
        matched = re.fullmatch(rf"{_PREFIX}(\d+)-.*", name)
        if matched and not os.path.exists(f"/proc/{matched[1]}"):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")


if __name__ == "__main__":
    main()
