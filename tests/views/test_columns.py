"""Tables at every width: no line is too wide, no figure is cut, and what matters least goes first."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from ipyproc.bench.findings import Findings, ForkCost, Throughput, WorkerShare
from ipyproc.bench.model import BenchSnapshot
from ipyproc.model.group import GroupSnapshot, WorkerSnapshot, WorkerState
from ipyproc.model.state import JobState
from ipyproc.views.columns import Column, fitted
from ipyproc.views.render import bundle, human_seconds, jobs_table
from ipyproc.views.render_bench import bench_status
from ipyproc.views.render_group import group_status

WIDTHS = [40, 60, 80, 120, 200]

COLUMNS = (
    Column("name", least=6),
    Column("size", 2, number=True),
    Column("note", 1),
    Column("text", 3, least=8),
)


def lines_of(renderable: RenderableType, width: int) -> list[str]:
    return bundle(renderable, width)["text/plain"].split("\n")


def table(width: int, *, note: str = "a note") -> list[str]:
    row = {"name": "some-name", "size": "123.4 MB", "note": note, "text": "a long text that may be cut"}
    return lines_of(fitted(COLUMNS, [{name: Text(text) for name, text in row.items()}], width), width)


def group(state: WorkerState) -> GroupSnapshot:
    worker = WorkerSnapshot(
        task_id=63,
        pid=4194304,
        state=state,
        last_exit=-9,
        exits=(),
        restarts=100,
        uptime=3725.0,
        cpu=100.0,
        memory=123_456_789,
        operations=12345.6,
    )
    return GroupSnapshot(**HEAD, workers=(worker,))


HEAD = {
    "name": "pool",
    "command": "%%fork -n 64",
    "state": JobState.RUNNING,
    "pid": 4194304,
    "elapsed": 3725.0,
    "uptime": 3725.0,
    "returncode": None,
    "exits": (),
    "restarts": 100,
    "max_restarts": 1000,
    "ready": None,
    "size": 0,
    "dropped": 0,
    "lost": 0,
    "last_line": "",
    "notes": (),
}

SHARE = WorkerShare(0, 100_000, 2.0, 2.65e-5, 4.17e-5, 95.0, 1.0, 123_456_789)
RATES = tuple(
    Throughput(n, 123456.0 * n, 9.99e-4, 1.25e-3, float(n), 1.0, (SHARE,) * n, (0.0128, 0.002))
    for n in (1, 16)
)
COSTS = tuple(ForkCost(n, (0.00133,), (9.12e-4,), (729_100,) * n) for n in (1, 16))


def bench(findings: Findings) -> BenchSnapshot:
    return BenchSnapshot(**HEAD, findings=findings, active=16, rate=70017.0, progress=0.63, left=2.2)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "picture",
    [
        lambda width: group_status(group(WorkerState.RUNNING), width),
        lambda width: group_status(group(WorkerState.RESTARTING), width),
        lambda width: bench_status(bench(Findings("sum(range(1000))", 2, None, RATES)), width),
        lambda width: bench_status(bench(Findings(None, 2, 0.05, (), COSTS)), width),
    ],
    ids=["group", "group that restarts", "rates", "costs"],
)
def test_workers_and_benchmarks_fit_every_screen_and_cut_no_figure(picture, width: int) -> None:
    lines = lines_of(picture(width), width)
    assert [line for line in lines if cell_len(line) > width] == []
    assert [line for line in lines if "…" in line] == []


@pytest.mark.parametrize(
    ("width", "head", "row"),
    [
        (62, "name size note text", "some-name 123.4 MB a note a long text that may be cut"),
        (44, "name size note text", "some-name 123.4 MB a note a long text"),
        (31, "name size note", "some-name 123.4 MB a note"),
        (23, "name size note", "some-… 123.4 MB a note"),
        (19, "name note", "some-name a note"),
    ],
)
def test_what_matters_least_is_shortened_and_then_goes(width: int, head: str, row: str) -> None:
    first, second = (" ".join(line.split()) for line in table(width))
    assert first == head
    assert second.startswith(row)


def test_an_empty_column_goes_before_one_that_says_something() -> None:
    assert [line.split() for line in table(23, note="")] == [["name", "size"], ["some-name", "123.4", "MB"]]


def test_the_table_of_no_jobs_says_how_to_start_one() -> None:
    assert "%%spawn starts one" in "\n".join(lines_of(jobs_table([], {}, 80), 80))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (-0.1, "0 ms"),
        (0.0042, "4 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3725, "1 h 02 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_are_in_units_for_people(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text
