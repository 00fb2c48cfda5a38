"""The plan: every row of the table, grouped by the servers that it needs."""

from __future__ import annotations

import msgspec

from bench.loads import blobs, images, lists, manifests, pushes, starting, tags
from bench.row import Row


class Stage(msgspec.Struct, frozen=True):
    """Rows that share one start of the servers.

    `memory`: data folders in memory, not on the disk; `tls`: both speak TLS; `nginx`: it runs too;
    `directory`: an LDAP directory runs, and Entrepôt asks it;
    `running`: the servers run during the stage (else its rows start their own).
    """

    name: str
    rows: tuple[Row, ...]
    memory: bool = False
    tls: bool = False
    nginx: bool = False
    directory: bool = False
    running: bool = True


STAGES = (
    Stage(
        "start",
        (
            Row("start to first answer, new data folder", "s", starting.measure_first_start, below=1.5),
            Row("start to first answer, existing data folder", "s", starting.measure_next_start, below=1.5),
            Row("memory idle, one web worker", "MB", starting.measure_idle_memory, below=150),
        ),
        running=False,
    ),
    Stage(
        "manifests",
        (
            Row(
                "GET manifest by tag, 32 connections",
                "requests/s",
                manifests.measure_manifest_gets,
                must=8,
                aim=12,
            ),
            Row(
                "HEAD manifest by tag, 32 connections",
                "requests/s",
                manifests.measure_manifest_heads,
                must=8,
                aim=12,
            ),
        ),
    ),
    Stage(
        "people",
        (
            Row(
                "GET manifest, Basic of an LDAP user against bearer",
                "requests/s",
                manifests.measure_basic_gets,
                must=0.9,
            ),
        ),
        directory=True,
    ),
    Stage(
        "blobs",
        (
            Row("GET blob 400 MB, 1 stream", "MB/s", blobs.measure_download_one, must=1, aim_nginx=True),
            Row("GET blob 400 MB, 16 streams", "MB/s", blobs.measure_download_sixteen, must=1, aim_nginx=True),
        ),
        nginx=True,
    ),
    Stage(
        "large pushes",
        (
            Row("push 400 MB into memory, 1 stream", "MB/s", pushes.measure_push_one, must=2),
            Row("push 400 MB into memory, 4 streams", "MB/s", pushes.measure_push_four, must=2),
        ),
        memory=True,
    ),
    Stage(
        "TLS",
        (Row("push 400 MB over TLS, 1 stream", "MB/s", pushes.measure_push_one, must=1),),
        memory=True,
        tls=True,
    ),
    Stage(
        "small pushes and images",
        (
            Row(
                "push 4 KiB blobs durably, 16 connections",
                "blobs/s",
                pushes.measure_small_pushes,
                must=2,
                aim=4,
            ),
            Row("push image of 10 x 1 MB, 10 clients", "images/s", images.measure_image_pushes, must=2),
            Row("pull image of 10 x 1 MB, 10 clients", "images/s", images.measure_image_pulls, must=4),
        ),
    ),
    Stage(
        "tags",
        (
            Row("tags/list page of 100 in 100,000, first", "pages/s", tags.measure_first_page, must=100),
            Row("tags/list page of 100 in 100,000, middle", "pages/s", tags.measure_middle_page, must=100),
            Row("tags/list page in 100,000 against in 100", "pages/s", tags.measure_page_growth, must=0.8),
        ),
        memory=True,
    ),
    Stage(
        "lists",
        (
            Row("REST projects, 100 of 1,000, first", "ms", lists.measure_projects_first, below=100),
            Row("REST projects, 100 of 1,000, last", "ms", lists.measure_projects_last, below=100),
            Row("REST repositories, 100 of 10,000, first", "ms", lists.measure_repositories_first, below=100),
            Row("REST repositories, 100 of 10,000, last", "ms", lists.measure_repositories_last, below=100),
            Row("REST artifacts of repository, 100 of 100,000, first", "ms", lists.measure_artifacts_first, below=100),
            Row("REST artifacts of repository, 100 of 100,000, last", "ms", lists.measure_artifacts_last, below=100),
            Row(
                "REST artifacts of project, 100 of 100,000, first",
                "ms",
                lists.measure_project_artifacts_first,
                below=100,
            ),
            Row(
                "REST artifacts of project, 100 of 100,000, last",
                "ms",
                lists.measure_project_artifacts_last,
                below=100,
            ),
            Row("REST audit log, 100 of 200,000, first", "ms", lists.measure_audit_first, below=100),
        ),
        memory=True,
        running=False,
    ),
)


def select_stages(part: str) -> list[Stage]:
    """Return the stages with the rows whose name holds `part` (any case), without empty ones."""
    chosen = [
        msgspec.structs.replace(stage, rows=tuple(row for row in stage.rows if part.lower() in row.name.lower()))
        for stage in STAGES
    ]
    return [stage for stage in chosen if stage.rows]
