"""What ``%forkbench`` measures, beside independent measurements of the same."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from ipyproc.bench import course
from ipyproc.bench.bench import ForkBench, forkbench
from ipyproc.bench.code import Statement
from ipyproc.bench.findings import Throughput, WorkerShare, limit
from ipyproc.bench.latency import bucket_of, quantile
from ipyproc.bench.model import BenchResult
from ipyproc.errors import JobFailed, JobSpecError, MissingPackageError, WorkerCodeError
from ipyproc.job.table import JobTable
from ipyproc.process.platform.sessions import session_members
from tests.support import run_python, until

_SUM = "sum(range(1000))"


def measured(table: JobTable, source: str, counts: list[int], setup: str = "", **options: Any) -> BenchResult:
    async def run() -> BenchResult:
        bench = forkbench(Statement(source, setup), counts, table=table, **options)
        result = await bench
        await until(lambda: not session_members(bench.pid))
        return result

    return asyncio.run(run())


def row(workers: int, times: float, cpu: float = 100.0, delay: float = 0.0) -> Throughput:
    share = WorkerShare(0, 100, 1.0, 0.01, 0.01, cpu, delay, 10**6)
    return Throughput(workers, 100.0 * times, 0.01, 0.01, times, times / workers, (share,) * workers)


# Beside others' measurements


@pytest.mark.alone
@pytest.mark.parametrize(
    ("source", "setup"),
    [
        ("x = y", "y = 1"),
        ("len(text)", "text = 'abc'"),
        (_SUM, ""),
        ("sorted(rows)", "rows = list(range(50_000))"),
    ],
)
def test_the_time_of_an_operation_is_that_of_timeit_in_a_plain_process(
    table: JobTable, source: str, setup: str
) -> None:
    program = (
        f"import time, timeit; timer = timeit.Timer({source!r}, {setup!r}, time.process_time);"
        "number, _ = timer.autorange();"
        "n = max(1, number // 8); print(min(timer.repeat(5, n)) / n)"
    )
    expected = float(run_python("-c", program).stdout)
    (figures,) = measured(table, source, [1], setup, seconds=0.25).rows
    assert isinstance(figures, Throughput)
    assert expected / 2 < figures.p50 < expected * 2
    assert figures.p50 <= figures.p99
    # The time between the operations is none; what other programs took of it, the system says.
    (share,) = figures.shares
    own = share.seconds * share.cpu / 100
    assert own / share.operations == pytest.approx(figures.p50, rel=0.6)


def test_processor_time_is_what_the_processes_themselves_say(table: JobTable) -> None:
    say = "os.write(1, b'%d %f\\n' % (task_id(), time.process_time()))"
    source = f"spin(time.thread_time() + 0.01)\ntime.sleep(0.01)\n{say}"
    setup = "import os, time\ndef spin(end):\n    while time.thread_time() < end: pass"
    result = measured(table, source, [2], setup, seconds=0.5)
    (figures,) = result.rows
    assert isinstance(figures, Throughput)
    for share in figures.shares:
        lines = [line.split()[1:] for line in result.stdout.splitlines()]
        said = [float(seconds) for number, seconds in lines if number == str(share.task_id)]
        used = share.seconds * share.cpu / 100
        assert used / share.operations == pytest.approx((said[-1] - said[0]) / (len(said) - 1), rel=0.2)


def test_private_memory_is_what_the_system_says_of_the_process(table: JobTable) -> None:
    async def run() -> None:
        setup = "import os; mine = os.urandom(20_000_000)"
        # The worker that has been measured waits for the second number, and can be looked at.
        bench = forkbench(
            Statement("time.sleep(0.05)", setup + "; import time"), [1, 2], seconds=0.4, table=table
        )
        await until(lambda: bench.findings.rows)
        full = psutil.Process(bench.workers[0].pid).memory_full_info()
        (first, second) = (await bench).rows
        assert first.memory == pytest.approx(full.uss, rel=0.05)
        assert 20e6 < first.memory < 25e6 and second.memory_total == pytest.approx(2 * first.memory, rel=0.05)

    asyncio.run(run())


_BARE_FORKS = """
import json, mmap, os, time
running, replaced, last = (memoryview(mmap.mmap(-1, 8 * 40)).cast("q") for _ in range(3))
for turn in range(40):
    begun = time.monotonic_ns()
    if not (pid := os.fork()):
        now = time.monotonic_ns()
        running[turn], replaced[turn] = now - begun, now - last[0]
        last[0] = time.monotonic_ns()
        os._exit(0)
    os.waitpid(pid, 0)
print(json.dumps([min(running[1:]) / 1e9, min(replaced[1:]) / 1e9]))
"""


@pytest.mark.alone
def test_what_forking_costs_is_what_bare_forks_cost_and_little_more(table: JobTable) -> None:
    async def run() -> None:
        running, replaced = json.loads(run_python("-c", _BARE_FORKS).stdout)
        bench = forkbench(None, [1, 2], table=table)
        one, two = (await bench).rows
        assert len(one.running) == 5 and len(one.replaced) == 20 and len(two.private) == 2
        assert min(one.running) <= one.running_p50 and min(one.replaced) <= one.replaced_p50
        # The quickest of each, of some more: what others take of the machine is in the rest.
        quickest = min(one.running), min(one.replaced)
        for _ in range(10):
            if quickest[0] < running * 5 and quickest[1] < replaced * 5:
                break
            (again,) = (await forkbench(None, [1], table=table)).rows
            quickest = min(quickest[0], *again.running), min(quickest[1], *again.replaced)
        assert running / 2 < quickest[0] < running * 5
        assert replaced / 2 < quickest[1] < replaced * 5
        assert 1e5 < one.memory < 1e7 and two.memory_total == sum(two.private)
        assert 0 < (bench.findings.helper or 0) < 10

    asyncio.run(run())


# Sweeps


def test_two_workers_are_compared_with_one_and_the_limit_is_said(table: JobTable) -> None:
    result = measured(table, "time.sleep(0.005)", [2, 1], "import time", seconds=0.4)
    one, two = result.rows
    assert (one.workers, two.workers) == (1, 2)
    assert two.speedup == pytest.approx(two.rate / one.rate)
    assert two.efficiency == pytest.approx(two.speedup / 2)
    assert two.rate == pytest.approx(sum(share.rate for share in two.shares)) and two.rate <= 400
    assert [share.task_id for share in two.shares] == [0, 1]
    assert one.p50 >= 0.005 and result.limit == limit(result.rows, result.to_dict()["cores"])


def test_workers_begin_when_all_are_ready_and_the_setup_runs_once_in_each(table: JobTable) -> None:
    source = "if not told: told.append(print(time.monotonic(), ready, setups))\ntime.sleep(0.01)"
    setup = "import time; told = []; setups = task_id(); time.sleep(0.2 * setups); ready = time.monotonic()"
    result = measured(table, source, [3], setup, seconds=0.2)
    said = [line.split()[-3:] for line in result.stdout.splitlines()]
    assert sorted(number for _, _, number in said) == ["0", "1", "2"]
    assert min(float(begun) for begun, _, _ in said) >= max(float(ready) for _, ready, _ in said)


@pytest.mark.parametrize(
    ("rows", "cores", "sentence"),
    [
        ([row(1, 1.0)], 2, "^$"),
        ([row(1, 1.0), row(2, 1.96)], 2, "Nothing limits it yet: 2 workers do 1.96 times what 1 does"),
        (
            [row(1, 1.0), row(4, 1.98, 50, 49)],
            2,
            "The cores limit it: .* there are 2 cores, .* used 2.00; more",
        ),
        ([row(1, 1.0), row(4, 1.4, 35, 62)], 2, "The cores .* used 1.40 .other programs had the rest"),
        (
            [row(1, 1.0), row(2, 1.4, 70, 29)],
            2,
            "Other programs limit it: .* waited 29 % of the time for a core",
        ),
        ([row(1, 1.0), row(2, 1.1, 55)], 2, "Waiting limits it: .* each used 55 % of a core"),
        ([row(1, 1.0), row(4, 2.5)], 4, "own serial part .* as if 20 % .* at best 5.0 times"),
        ([row(1, 1.0), row(4, 0.8)], 4, "own serial part .* as if 100 % .* at best 1.0 times"),
    ],
)
def test_the_limit_is_said_in_plain_words(rows: list[Throughput], cores: int, sentence: str) -> None:
    import re

    assert re.search(sentence, limit(rows, cores))


def test_a_statement_that_others_hold_up_is_said_to_wait(table: JobTable) -> None:
    source = "fcntl.flock(file, fcntl.LOCK_EX)\ntime.sleep(0.005)\nfcntl.flock(file, fcntl.LOCK_UN)"
    setup = "import fcntl, time; file = open('/dev/shm/' + name, 'w')"
    name = f"ipyproc-test-{os.getpid()}"
    try:
        result = measured(table, source, [1, 3], setup, seconds=0.4, variables={"name": name})
    finally:
        os.unlink(f"/dev/shm/{name}")
    one, three = result.rows
    # Each waits for the two others.
    assert one.p50 >= 0.005 and three.p50 >= 0.012
    assert three.cpu < 50 and result.limit == limit(result.rows, result.to_dict()["cores"])


# Workers that die


def test_killed_workers_are_replaced_and_their_operations_count(table: JobTable) -> None:
    source, setup = "time.sleep(0.002)\nos.write(1, b'done\\n')", "import os, time"
    result = measured(table, source, [2], setup, seconds=2.0, restarts=3)
    (figures,) = result.rows
    assert isinstance(figures, Throughput)
    assert len(figures.replaced) == 3 and all(seconds > 0 for seconds in figures.replaced)
    counted, done = sum(share.operations for share in figures.shares), result.stdout.count("done")
    # Each of the three may have been killed between an operation's end and its count.
    assert counted <= done <= counted + 3
    assert result.returncode == 0 and result.notes == ()


def test_the_time_of_a_replacement_holds_its_setup(table: JobTable) -> None:
    result = measured(
        table, "time.sleep(0.002)", [1], "import time; time.sleep(0.15)", seconds=0.8, restarts=1
    )
    (seconds,) = result.rows[0].replaced
    assert seconds > 0.15


def test_a_statement_that_raises_ends_the_run_with_one_traceback(table: JobTable) -> None:
    async def run() -> None:
        bench = forkbench(Statement("x = 1\n\nx / 0", "y = 2", "In[7]"), [1, 3], restarts=2, table=table)
        with pytest.raises(
            JobFailed, match=r"worker \d ended with exit 1, so nothing more is measured"
        ) as caught:
            await bench
        assert bench.stderr.count("Traceback") == 1
        assert 'File "In[7]", line 4, in forkbench\n' in bench.stderr and "x / 0" in bench.stderr
        assert "ipyproc" not in bench.stderr and "ZeroDivisionError" in str(caught.value)
        await until(lambda: not session_members(bench.pid))

    asyncio.run(run())


@pytest.mark.parametrize("source", ["import os; os._exit(0)", "raise SystemExit(0)"])
def test_a_worker_that_leaves_ends_the_run(table: JobTable, source: str) -> None:
    async def run() -> None:
        bench = forkbench(Statement(source), [2], table=table)
        result = await bench.wait(raise_error=False)
        assert result.returncode != 0 and len(result.notes) == 1 and "worker" in result.notes[0]
        assert result.rows == ()
        await until(lambda: not session_members(bench.pid))

    asyncio.run(run())


def test_a_worker_that_somebody_kills_ends_the_run_and_is_named(table: JobTable) -> None:
    async def run() -> None:
        bench = forkbench(Statement("1"), [2], seconds=30, table=table)
        pid = await until(lambda: bench.findings.helper and bench.workers[1].pid)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(JobFailed, match="worker 1 ended with SIGKILL"):
            await bench

    asyncio.run(run())


def test_stopped_it_has_what_was_measured_by_then_and_restarted_it_begins_anew(
    table: JobTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, sign = 100.0, tmp_path / "sign"
    monkeypatch.setattr(course, "time", SimpleNamespace(monotonic=lambda: now))

    async def run() -> None:
        nonlocal now
        # The second worker is not through before the sign is there.
        source = "time.sleep(0.01 if task_id() == 0 or os.path.exists(sign) else 60)"
        statement, variables = Statement(source, "import os, time"), {"sign": str(sign)}
        bench = forkbench(statement, [1, 2], seconds=0.4, variables=variables, table=table)
        await until(lambda: bench.snapshot().active == 2)
        now += 0.1
        snapshot = bench.snapshot()
        assert (snapshot.progress, snapshot.left) == (pytest.approx(0.625), pytest.approx(0.3))
        result = await bench.stop(grace=60)
        assert result.ended_by == "SIGINT" and [figures.workers for figures in result.rows] == [1]
        assert bench.stderr == "" and session_members(bench.pid) == []
        sign.touch()
        await bench.restart()
        assert bench.findings.rows == ()
        assert [figures.workers for figures in (await bench).rows] == [1, 2]

    asyncio.run(run())


def test_a_helper_that_is_killed_leaves_nobody(table: JobTable) -> None:
    async def run() -> None:
        for statement in (Statement("1"), None):
            bench = forkbench(statement, [2], seconds=30, restarts=5000, table=table)
            pid = await until(lambda: bench.workers[0].pid and bench.helper_pid)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(JobFailed, match="its helper was ended by SIGKILL"):
                await bench
            await until(lambda: not session_members(bench.pid))

    asyncio.run(run())


# What it gives, and refuses


def test_the_result_is_numbers_that_json_can_hold(table: JobTable) -> None:
    result = measured(table, _SUM, [1], seconds=0.1)
    told = json.loads(json.dumps(result.to_dict()))
    assert told["statement"] == _SUM and told["cores"] >= 1 and told["returncode"] == 0
    assert told["rows"][0]["workers"] == 1 and told["rows"][0]["shares"][0]["operations"] >= 1
    assert repr(result) == f"<BenchResult of {_SUM!r} with 1 workers>"


def test_a_picture_needs_matplotlib_and_says_so(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    result = measured(table, _SUM, [1], seconds=0.05)
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"pip install ipyproc\[plot\]"):
        result.plot()


_PICTURES = """
import asyncio
from ipyproc.bench.bench import forkbench
from ipyproc.bench.code import Statement
async def run():
    for statement in (Statement("1"), None):
        picture = (await forkbench(statement, [1, 2], seconds=0.05)).plot()
        assert picture._repr_png_().startswith(bytes([137]) + b"PNG")
        print([axes.get_ylabel() for axes in picture.axes])
asyncio.run(run())
"""


def test_a_picture_can_be_made_of_either_kind(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    assert "operations a second" in run_python("-W", "default", "-c", _PICTURES).stdout


@pytest.mark.parametrize(
    ("statement", "options", "error", "sentence"),
    [
        ("1", {"counts": [-1]}, JobSpecError, "The number of workers is -1"),
        ("1", {"counts": []}, JobSpecError, "There is no number of workers"),
        ("1", {"seconds": 0}, JobSpecError, "The time is 0 s; give a number of seconds above 0"),
        ("1", {"seconds": float("nan")}, JobSpecError, "The time is nan s"),
        ("1", {"restarts": -1}, JobSpecError, "The number of restarts is -1; give 0 or more"),
        ("# nothing", {}, WorkerCodeError, "There is no statement to measure"),
        (
            "for x in",
            {},
            WorkerCodeError,
            r"not valid Python \(invalid syntax\): 'for x in'; nothing was forked",
        ),
        ("return 1", {}, WorkerCodeError, "'return' outside function"),
        ("break", {}, WorkerCodeError, "'break' outside loop"),
        ("await x", {}, WorkerCodeError, "outside function"),
        ("1", {"variables": {"lock": asyncio.Lock}}, None, ""),
        ("1", {"variables": {"lock": time}}, None, ""),
        (
            "1",
            {"variables": {"frame": sys._getframe()}},
            WorkerCodeError,
            "The variable 'frame' .* could not be pickled",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_forked(
    table: JobTable, statement: str, options: dict[str, Any], error: type[Exception] | None, sentence: str
) -> None:
    async def run() -> ForkBench:
        return forkbench(Statement(statement), **{"counts": [1], "table": table} | options)

    if error is None:
        bench = asyncio.run(_stopped(run))
        assert bench.done
        return
    with pytest.raises(error, match=sentence):
        asyncio.run(run())
    assert len(table) == 0


async def _stopped(start: Any) -> ForkBench:
    bench = await start()
    await bench.stop()
    return bench


# Buckets


def test_quantiles_are_within_two_percent_from_picoseconds_to_hours() -> None:
    generator = random.Random(1)
    for scale in (1.0, 50.0, 1e3, 1e6, 1e9, 1e12):
        times = sorted(max(1, round(generator.lognormvariate(0, 1) * scale * 100)) for _ in range(2000))
        counts: dict[int, int] = {}
        for nanoseconds in times:
            bucket = bucket_of(nanoseconds, 100)
            counts[bucket] = counts.get(bucket, 0) + 1
        for share in (0.5, 0.99):
            exact = times[int(share * len(times)) - 1] / 100 / 1e9
            assert quantile(counts, share) == pytest.approx(exact, rel=0.02, abs=0.1e-9)
    assert bucket_of(10**18, 1) == bucket_of(10**19, 1), "the last bucket has all that is longer"
