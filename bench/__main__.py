"""`python -m bench`: run the plan, print the table.

Exit status: 0 whatever the ratios are (it is never a timed test), 1 when a request got a wrong
answer or a server did not start, 2 when something that the bench needs is missing.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.contest import QUICK, Contest, Sizes
from bench.directory import Directory
from bench.plan import Stage, select_stages
from bench.rawclient import WrongAnswerError
from bench.row import Outcome, Row, judge, report_wrong
from bench.servers import (
    Certificate,
    DockerRegistry,
    Entrepot,
    MissingProgramError,
    Nginx,
    NotStartedError,
    check_programs,
    find_free_port,
    make_certificate,
)
from bench.table import print_table, write_json

ROOM = 12
"""Times the size of a large blob that must be free in the folder in memory."""


def main() -> int:
    """Run the bench as the command line says; return the exit status."""
    arguments = _parse_arguments()
    console = Console(stderr=True)
    sizes = QUICK if arguments.quick else Sizes()
    signal.signal(signal.SIGTERM, _leave)
    try:
        check_programs()
        _check_room(arguments.memory, sizes)
        stages = select_stages(arguments.only)
        outcomes = _run(stages, sizes, arguments, console)
    except MissingProgramError as missing:
        console.print(f"bench: {missing}", style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("bench: interrupted, all servers are stopped", style="red")
        return 130
    print_table(outcomes, quick=arguments.quick)
    if arguments.json:
        write_json(arguments.json, outcomes)
    return int(any(outcome.verdict == "wrong" for outcome in outcomes))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="PART", help="rows whose name holds PART")
    parser.add_argument("--quick", action="store_true", help="small sizes, one short round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table to FILE, too")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="a folder on a real disk (%(default)s)")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), help="a folder in memory (%(default)s)")
    arguments = parser.parse_args()
    if not select_stages(arguments.only):
        parser.error(f"no row's name holds {arguments.only!r}")
    return arguments


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that SIGTERM stops the servers, too."""
    raise KeyboardInterrupt


def _check_room(memory: Path, sizes: Sizes) -> None:
    """Refuse to begin what would end with a full /dev/shm (64 MB in a plain container)."""
    needed = ROOM * sizes.big
    free = shutil.disk_usage(memory).free
    if free < needed:
        raise MissingProgramError(f"{memory} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} are needed")


def _run(stages: list[Stage], sizes: Sizes, arguments: argparse.Namespace, console: Console) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with _scratch(arguments.disk) as disk, _scratch(arguments.memory) as memory:
        certificate = make_certificate(disk)
        for stage in stages:
            folder = (memory if stage.memory else disk) / stage.name.replace(" ", "-")
            try:
                with _open(stage, folder, certificate, sizes) as contest:
                    for row in stage.rows:
                        console.print(f"… {row.name}", style="dim", highlight=False)
                        outcomes.append(_measure(row, contest))
            except NotStartedError as problem:
                done = {outcome.row for outcome in outcomes}
                left = [row for row in stage.rows if row.name not in done]
                outcomes.extend(report_wrong(row, str(problem)) for row in left)
            shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def _measure(row: Row, contest: Contest) -> Outcome:
    try:
        return judge(row, row.measure(contest))
    except WrongAnswerError as problem:
        return report_wrong(row, str(problem))
    except OSError as problem:
        return report_wrong(row, f"{type(problem).__name__}: {problem}")


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Make a folder for this run and remove it at the end, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _open(stage: Stage, folder: Path, certificate: Certificate, sizes: Sizes) -> Iterator[Contest]:
    """Start the stage's servers in `folder` and stop them at the end, whatever happens."""
    used = certificate if stage.tls else None
    with ExitStack() as stack:
        directory = None
        if stage.directory:
            directory = stack.enter_context(Directory(folder / "directory", find_free_port()))
        entrepot = Entrepot(folder / "entrepot", used, directory)
        peer = DockerRegistry(folder / "docker-registry", used)
        nginx = Nginx(folder / "nginx") if stage.nginx else None
        if stage.running:
            for server in (entrepot, peer, nginx):
                if server is not None:
                    stack.enter_context(server)
        yield Contest(entrepot, peer, nginx, sizes)


if __name__ == "__main__":
    sys.exit(main())
