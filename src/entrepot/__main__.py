"""``entrepot`` and ``python -m entrepot``."""

from __future__ import annotations

import os
import sys
import tempfile


def main() -> None:
    """Run the command line."""
    if "serve" in sys.argv[1:]:
        # prometheus-client decides at its import where the values shared by the workers live.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="entrepot-metrics-")
    from entrepot.cli import app  # noqa: PLC0415

    app()


if __name__ == "__main__":
    main()
