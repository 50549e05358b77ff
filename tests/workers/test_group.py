"""Worker groups with real workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import ipyproc.hosts
from ipyproc.errors import JobFailed, JobNameError, JobSpecError, JobStateError, UnknownJobError
from ipyproc.hosts.helper.wire import VERSION
from ipyproc.job.fork import fork
from ipyproc.job.group import WorkerGroup
from ipyproc.job.table import JobTable
from ipyproc.model.event import Event, EventKind
from ipyproc.model.group import WorkerState
from ipyproc.model.state import JobState
from ipyproc.process.platform.sessions import session_members
from tests.support import until

_FOR_EVER = "print('up', flush=True)\nimport time\nwhile True: time.sleep(1)"


def running(group: WorkerGroup) -> Callable[[], bool]:
    return lambda: group.output.count("up\n") >= len(group.workers) and all(w.uptime for w in group.workers)


async def gone(group: WorkerGroup) -> None:
    await until(lambda: not session_members(group.pid))


def test_a_group_is_a_job_whose_lines_are_marked(table: JobTable) -> None:
    async def run() -> None:
        code = "import sys\nprint('hello', n * task_id())\nprint('oh', file=sys.stderr)"
        group = fork(code, 3, variables={"n": 10}, name="trio", table=table)
        assert table["trio"] is group and table[group.pid] is group
        result = await group
        assert result.returncode == 0 and result.output == group.output
        assert sorted(group.stdout.splitlines()) == ["[0] hello 0", "[1] hello 10", "[2] hello 20"]
        assert sorted(group.stderr.splitlines()) == ["[0] oh", "[1] oh", "[2] oh"]
        assert group.worker_output(2, "stdout") == "hello 20\n"
        assert repr(group) == "<WorkerGroup 'trio' exited 0>"
        assert [worker.last_exit for worker in group.workers] == [0, 0, 0]
        assert {worker.state for worker in group.workers} == {WorkerState.EXITED}

    asyncio.run(run())


def test_a_workers_exit_is_told_apart_from_the_groups(table: JobTable) -> None:
    events: list[Event] = []

    async def run() -> None:
        group = fork("pass", 2, table=table)
        group.subscribe(events.append)
        await group

    asyncio.run(run())
    exits = [(event.worker, event.detail) for event in events if event.kind is EventKind.EXITED]
    assert sorted(exits[:2]) == [(0, "worker 0, exit 0"), (1, "worker 1, exit 0")]
    assert exits[2:] == [(None, "exit 0")]


def test_output_is_complete_and_in_order_a_worker_from_c_and_from_subprocesses(table: JobTable) -> None:
    code = """
import os, subprocess
for number in range(3000):
    print(task_id(), number)
os.write(1, b"from C\\n")
subprocess.run(["sh", "-c", "echo from a child"])
print("no end", end="")
"""

    async def run() -> None:
        group = fork(code, 3, table=table)
        await group
        for task_id in range(3):
            lines = [f"{task_id} {number}" for number in range(3000)] + ["from C", "from a child", "no end"]
            assert group.worker_output(task_id) == "\n".join(lines)
            mark = f"[{task_id}] "
            marked = [line.removeprefix(mark) for line in group.output.splitlines() if line.startswith(mark)]
            assert marked == lines

    asyncio.run(run())


def test_what_stands_above_the_fork_runs_once(table: JobTable) -> None:
    async def run() -> None:
        code = (
            "import os\nhelper = os.getpid()\nprint('once')\nfork_processes()\nprint(os.getppid() == helper)"
        )
        group = fork(code, 2, table=table)
        await group
        assert sorted(group.output.splitlines()) == ["[0] True", "[1] True", "once"]

    asyncio.run(run())


def test_no_workers_ancestor_is_this_process(table: JobTable) -> None:
    async def run() -> None:
        group = fork(_FOR_EVER, 2, table=table)
        await until(running(group))
        for worker in group.workers:
            ancestors = [process.pid for process in psutil.Process(worker.pid).parents()]
            assert group.helper_pid in ancestors and os.getpid() not in ancestors
            assert os.getsid(worker.pid or 0) == group.pid != os.getsid(0)
        result = await group.stop(grace=60)
        assert result.ended_by == "SIGINT" and result.returncode == -signal.SIGINT
        assert group.stderr == ""
        assert session_members(group.pid) == []

    asyncio.run(run())


def test_a_worker_that_fails_is_replaced_and_one_can_be_picked(table: JobTable) -> None:
    async def run() -> None:
        group = fork(_FOR_EVER, 2, 5, table=table)
        await until(running(group))
        first, second = group.workers
        group.signal(signal.SIGKILL, 1)
        await until(lambda: group.workers[1].restarts == 1 and group.workers[1].uptime)
        group.restart_worker(0)
        await until(lambda: group.workers[0].restarts == 1 and group.workers[0].uptime)
        assert [worker.last_exit for worker in group.workers] == [-signal.SIGTERM, -signal.SIGKILL]
        assert {first.pid, second.pid}.isdisjoint(worker.pid for worker in group.workers)
        snapshot = group.snapshot()
        assert (snapshot.restarts, snapshot.max_restarts) == (1, 5), "a restart that was asked for is free"
        assert all(worker.memory for worker in snapshot.workers)
        with pytest.raises(UnknownJobError, match="has no worker 2; its task ids are 0 to 1"):
            group.restart_worker(2)
        await group.stop()
        with pytest.raises(JobStateError, match="has ended, so no worker was restarted"):
            group.restart_worker(0)

    asyncio.run(run())


def test_a_group_past_its_budget_says_how_often_each_worker_died(table: JobTable) -> None:
    code = f"import sys\nif task_id() == 1: sys.exit(3)\n{_FOR_EVER}"

    async def run() -> None:
        group = fork(code, 2, 2, table=table)
        with pytest.raises(JobFailed, match=r"than the 2 granted: worker 1 died 3 times \(exit 3 x3\)"):
            await group
        assert group.state is JobState.GAVE_UP and group.snapshot().restarts == 2
        assert group.workers[1].exits == ((3, 3),)
        await gone(group)

    asyncio.run(run())


def test_a_traceback_has_the_line_of_the_cell(table: JobTable) -> None:
    async def run() -> None:
        group = fork("a = 1\n\n1 / 0 # here", 1, 0, filename="In[7]", first_line=2, table=table)
        await group.wait(raise_error=False)
        text = group.worker_output(0, "stderr")
        assert 'File "In[7]", line 4, in <module>\n    1 / 0 # here\n' in text
        assert "ipyproc" not in text and "[0] ZeroDivisionError" in group.stderr

    asyncio.run(run())


def test_an_error_above_the_fork_ends_the_group(table: JobTable) -> None:
    async def run() -> None:
        group = fork("1 / 0\nfork_processes()", 2, table=table)
        with pytest.raises(JobFailed, match="exited with status 1"):
            await group
        assert "ZeroDivisionError" in group.stderr
        assert {worker.state for worker in group.workers} == {WorkerState.STARTING}

    asyncio.run(run())


@pytest.mark.parametrize("victim", ["helper", "leader"])
def test_a_group_whose_helper_is_killed_says_so_and_leaves_nobody(table: JobTable, victim: str) -> None:
    code = "import subprocess\nsubprocess.Popen(['sleep', '100'])\n" + _FOR_EVER

    async def run() -> None:
        group = fork(code, 2, table=table)
        await until(running(group))
        os.kill(group.pid if victim == "leader" else group.helper_pid or 0, signal.SIGKILL)
        with pytest.raises(JobFailed, match="its helper was ended by SIGKILL, and every worker with it"):
            await group
        await gone(group)
        assert {worker.state for worker in group.workers} == {WorkerState.EXITED}

    asyncio.run(run())


def test_kill_ends_all_at_once_and_restart_begins_anew(table: JobTable) -> None:
    async def run() -> None:
        group = fork(_FOR_EVER, 2, table=table)
        await until(running(group))
        before = group.pid
        await group.restart()
        await until(lambda: all(worker.uptime for worker in group.workers))
        assert group.pid != before
        group.kill()
        result = await group.wait(raise_error=False)
        assert result.returncode == -signal.SIGKILL
        await gone(group)

    asyncio.run(run())


def test_workers_that_ignore_signals_are_killed(table: JobTable) -> None:
    code = "import signal\nsignal.signal(2, signal.SIG_IGN)\nsignal.signal(15, signal.SIG_IGN)\n" + _FOR_EVER

    async def run() -> None:
        group = fork(code, 2, table=table)
        await until(running(group))
        result = await group.stop(grace=0.2)
        assert result.ended_by == "SIGKILL"
        await gone(group)

    asyncio.run(run())


def test_a_helper_of_another_version_is_a_named_error(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipyproc.hosts.helper.wire.VERSION", VERSION + 1)

    async def run() -> None:
        group = fork(_FOR_EVER, 1, table=table)
        with pytest.raises(JobFailed, match=f"speaks version {VERSION}, this one {VERSION + 1}"):
            await group

    asyncio.run(run())


def test_a_helper_that_talks_nonsense_is_a_named_error(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import os, sys, time; os.write(int(sys.argv[2]), b'nonsense' * 9); time.sleep(60)"
    monkeypatch.setattr("ipyproc.job.fork._PROGRAM", program)

    async def run() -> None:
        group = fork(_FOR_EVER, 1, table=table)
        with pytest.raises(JobFailed, match="Unexpected bytes between the kernel and its helper"):
            await group
        await gone(group)

    asyncio.run(run())


def test_bad_arguments_are_said_in_a_sentence(table: JobTable) -> None:
    async def run() -> None:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"workers": -1}, "The number of workers is -1; give 1 or more, or 0 for the number of cores"),
            ({"max_restarts": -1}, "max_restarts is -1, .*; give 0 or more"),
            ({"name": ""}, "The job name ''"),
        ]
        for arguments, sentence in cases:
            with pytest.raises(JobSpecError, match=sentence):
                fork("pass", table=table, **arguments)
        group = fork(_FOR_EVER, 1, name="one", table=table)
        with pytest.raises(JobNameError, match="is running already"):
            fork("pass", 1, name="one", table=table)
        with pytest.raises(JobStateError, match="have no standard input"):
            group.send("text")
        await group.stop()

    asyncio.run(run())


def test_no_number_is_the_number_of_cores(table: JobTable) -> None:
    async def run() -> None:
        group = fork("pass", 0, table=table)
        await group
        assert len(group.workers) == os.cpu_count()

    asyncio.run(run())


def test_a_measuring_worker_has_operations_a_second(table: JobTable) -> None:
    code = """
import time
start = time.time()
while True:
    time.sleep(0.05)
    measure((time.time() - start) * 400)
"""

    async def run() -> None:
        group = fork(code, 1, table=table)
        # Of two reports: what comes between them on a slow machine is in one rate, and not in the next.
        await until(lambda: 100 < (group.workers[0].operations or 0) < 1000)
        await group.stop()

    asyncio.run(run())


_SERVER = """
import asyncio, os, tornado.httpserver, tornado.netutil, tornado.web
sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
print("port", sockets[0].getsockname()[1])
fork_processes()
class Hello(tornado.web.RequestHandler):
    def get(self):
        self.write(f"{task_id()} {os.getpid()}")
server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Hello)]))
server.add_sockets(sockets)
print("up")
await asyncio.Event().wait()
"""


async def ask(port: int) -> str:
    """One request on a connection of its own; OSError, or an empty answer, when it fails."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await writer.drain()
        return (await reader.read()).decode().rpartition("\r\n\r\n")[2]
    finally:
        writer.close()


def test_a_pre_forked_server_serves_on_while_a_worker_is_killed(table: JobTable) -> None:
    clients = 4

    async def run() -> None:
        group = fork(_SERVER, 2, table=table)
        await until(lambda: group.output.count("up\n") == 2, timeout=30)
        port = int(group.tail(100).split("port ")[1].split()[0])
        answers: list[tuple[float, str]] = []
        failures: list[float] = []
        ending = False

        async def load() -> None:
            while not ending:
                try:
                    answer = await asyncio.wait_for(ask(port), 60)
                except OSError:
                    answer = ""
                if answer:
                    answers.append((time.monotonic(), answer))
                else:
                    failures.append(time.monotonic())

        loads = [asyncio.create_task(load()) for _ in range(clients)]
        victim = str(group.workers[1].pid)
        await until(lambda: len(answers) > 100 and f"1 {victim}" in [answer for _, answer in answers])
        group.signal(signal.SIGKILL, 1)
        await until(lambda: group.output.count("up\n") == 3, timeout=30)
        replacement = str(group.workers[1].pid)
        await until(lambda: any(answer == f"1 {replacement}" for _, answer in answers), timeout=30)
        ending = True
        await asyncio.gather(*loads)
        # A client has one request at a time, and those the victim had accepted die with it, once.
        assert len(failures) <= clients
        await group.stop()

    asyncio.run(run())


def test_a_flood_of_lines_stays_whole_while_the_loop_is_held(table: JobTable) -> None:
    async def run() -> None:
        group = fork("for number in range(20000): print('x' * 50)", 2, table=table)
        time.sleep(0.3)
        await group
        assert group.output.count("\n") == 40000
        assert all(line[4:] == "x" * 50 for line in group.output.splitlines())

    asyncio.run(run())


def test_python_finds_modules_as_the_notebook_does(table: JobTable, tmp_path: Any) -> None:
    (tmp_path / "only_here.py").write_text("answer = 42")
    (tmp_path / "signal.py").write_text("1 / 0")

    async def run() -> None:
        group = fork("import only_here\nprint(only_here.answer)", 1, table=table)
        await group
        assert group.worker_output(0) == "42\n"

    before, here = list(sys.path), os.getcwd()
    sys.path.append(str(tmp_path))
    os.chdir(tmp_path)
    try:
        asyncio.run(run())
    finally:
        os.chdir(here)
        sys.path[:] = before


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_a_listener_that_raises_is_logged_and_stops_neither_the_group_nor_another_listener(
    error: type[BaseException], table: JobTable, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(_message: object) -> None:
        raise error("by intent")

    async def run() -> None:
        group = fork("pass", 1, table=table)
        kinds: list[str] = []
        unlisten = group.listen(raises)
        group.listen(lambda message: kinds.append(message.kind))
        assert (await asyncio.wait_for(group.wait(), 60)).returncode == 0
        assert "exited" in kinds
        unlisten()
        unlisten()

    asyncio.run(run())
    assert caplog.records
    for record in caplog.records:
        assert "Listener" in record.getMessage() and "raises" in record.getMessage()
        assert record.exc_info is not None and str(record.exc_info[1]) == "by intent"


def by_pythonpath(packages: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)


def by_a_start_up_file_that_imports_it(packages: Path, patch: pytest.MonkeyPatch) -> None:
    # What site-packages' .pth files do, in a folder that is the test's own.
    (packages / "sitecustomize.py").write_text("import ipyproc.hosts.helper.leader")
    patch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)


def by_sys_path(packages: Path, patch: pytest.MonkeyPatch) -> None:
    patch.syspath_prepend(str(packages))


@pytest.mark.parametrize("comes_first", [by_pythonpath, by_a_start_up_file_that_imports_it, by_sys_path])
def test_the_helper_is_of_the_kernels_own_copy_of_the_package_whichever_comes_first(
    comes_first: Callable[[Path, pytest.MonkeyPatch], None],
    table: JobTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    another = tmp_path / "ipyproc"
    (another / "workers").mkdir(parents=True)
    for package in (another, another / "workers"):
        (package / "__init__.py").touch()
    (another / "workers" / "leader.py").write_text("def main(): raise SystemExit('another copy')\n")
    comes_first(tmp_path, monkeypatch)

    async def run() -> None:
        group = fork("import ipyproc.hosts\nprint(ipyproc.hosts.__file__)", 1, table=table)
        assert (await asyncio.wait_for(group.wait(raise_error=False), 60)).returncode == 0, group.output
        assert group.worker_output(0) == f"{ipyproc.hosts.__file__}\n"

    asyncio.run(run())
