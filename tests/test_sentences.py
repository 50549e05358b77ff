"""Every error sentence that a user can meet: `sentences.txt` lists them, and each is provoked here."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ipyproc.bench.bench import forkbench
from ipyproc.bench.code import Statement
from ipyproc.console.main import parser
from ipyproc.errors import IpyprocError
from ipyproc.hosts.helper.wire import VERSION, encode
from ipyproc.hosts.keeper.group import KeptGroup
from ipyproc.hosts.keeper.host import KeeperHost
from ipyproc.hosts.keeper.job import KeptJob
from ipyproc.hosts.keeper.places import Place, jobs_directory, remove
from ipyproc.hosts.keeper.record import Record
from ipyproc.hosts.keeper.start import start_holder
from ipyproc.hosts.wire.address import listen, need_own_peer
from ipyproc.hosts.wire.client import WireHost
from ipyproc.hosts.wire.frames import Fields, Frame
from ipyproc.hosts.wire.frames import encode as encode_frame
from ipyproc.hosts.wire.job import WireJob, pieces_of
from ipyproc.hosts.wire.launch import launch
from ipyproc.hosts.wire.values import need_command, spec_from, status_from
from ipyproc.job.fork import fork
from ipyproc.job.group import WorkerGroup
from ipyproc.job.table import JobTable
from ipyproc.model.group import GroupSpec
from ipyproc.model.life import LADDER
from ipyproc.model.spec import JobSpec
from ipyproc.process import Subprocess
from ipyproc.process.loops import asyncio_loop
from ipyproc.process.platform.sessions import session_members
from tests.hosts.kept import keeping
from tests.hosts.programs import COROUTINES
from tests.hosts.served import HELLO as HELLO_OF_A_HOST
from tests.hosts.served import serving, start_at_a_server_that_says
from tests.hosts.toy import ToyHost
from tests.jobs import conftest as of_jobs
from tests.notebook import conftest as of_notebook
from tests.notebook.kernels import Kernel
from tests.support import PROGRAMS, kept_processes, run_python, until, wait_until
from tests.words import Reader, Words, package

warm_table, table = of_jobs.warm_table, of_jobs.table
killed_are_waited_for = of_jobs.killed_are_waited_for
_clients_loop, _shared, kernel = of_notebook._clients_loop, of_notebook._shared, of_notebook.kernel


# The listing


@dataclass(frozen=True)
class Entry:
    """Code, and the sentence that it brings about.

    Attributes:
        place: where the code is run.
        code: as a user types it.
        sentence: with ``<n>``, ``<python>`` and ``<output>`` for what is not always the same.
        given: the values in the code that the sentence has to name.
    """

    place: str
    code: str
    sentence: str
    given: tuple[str, ...]

    def __str__(self) -> str:
        return self.code.partition("\n")[0]


def listed() -> Iterator[Entry]:
    text = Path(__file__).with_name("sentences.txt").read_text("utf-8")
    for section in text.split("\n## ")[1:]:
        place, _, entries = section.partition("\n")
        entries = re.sub("^(# .*)?\n", "", entries, flags=re.MULTILINE)
        for entry in re.split("^>>> ", entries, flags=re.MULTILINE)[1:]:
            code, sentence = re.fullmatch(r"(.*\n(?:\.\.\..*\n)*)((?s:.+))\n", entry).groups()
            code = re.sub(r"\n\.\.\. ?", "\n", code).removesuffix("\n")
            given = re.findall("«(.*?)»", code)
            yield Entry(place, re.sub("[«»]", "", code), sentence, tuple(given))


LISTING = list(listed())
_VARIABLE = {"<n>": r"[\d,]+", "<python>": r"[^\n]+", "<output>": r"(?s:.*)"}


def run_in(place: str) -> Any:
    return pytest.mark.parametrize("entry", [entry for entry in LISTING if entry.place == place], ids=str)


def is_as_listed(said: str, entry: Entry) -> bool:
    parts = re.split("(<n>|<python>|<output>)", entry.sentence)
    return bool(re.fullmatch("".join(_VARIABLE.get(part) or re.escape(part) for part in parts), said))


# Each is provoked


class Unreadable:
    """What can be pickled, and not be read again."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return int, ("odd",)


def names_for_entries(table: JobTable, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    def busy() -> Any:
        return table.spawn(["sleep", "60"], name="busy")

    async def ended() -> Any:
        job = table.spawn("true", name="ended")
        await job
        return job

    async def serving() -> WorkerGroup:
        group = fork("import time; time.sleep(60)", 1, name="group", table=table)
        await until(lambda: group.workers[0].uptime)
        return group

    def helper_that_says(*messages: bytes) -> WorkerGroup:
        says = f"import os, sys, time; os.write(int(sys.argv[2]), {b''.join(messages)!r}); time.sleep(60)"
        patch.setattr("ipyproc.job.fork._PROGRAM", says)
        return fork("pass", 1, table=table)

    def script(text: str) -> None:
        (folder / "script").write_text(f"#!/bin/sh\n{text}\n")
        (folder / "script").chmod(0o755)

    modules = {name: __import__(name) for name in ("asyncio", "os", "sys", "threading")}
    started = {"fork": partial(fork, table=table), "forkbench": partial(forkbench, table=table)}
    ways = (busy, ended, serving, helper_that_says, script, until, encode)
    classes = (JobTable, Statement, Subprocess, Unreadable)
    return {
        **modules,
        **started,
        **{named.__name__: named for named in (*ways, *classes)},
        "spawn": table.spawn,
        "jobs": table,
        "folder": folder,
        "patch": patch,
        "session_members": session_members,
        "HELLO": encode("hello", version=VERSION, pid=1),
        "PROGRAMS": PROGRAMS,
    }


async def said_of(code: str, names: dict[str, Any], table: JobTable) -> str:
    program = compile(code, "<entry>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    try:
        waiting = eval(program, names)
        if inspect.iscoroutine(waiting):
            await asyncio.wait_for(waiting, 20)
    except Exception as error:
        return str(error)
    finally:
        for job in table:
            job.kill()
            await asyncio.wait_for(job.stop(0.0), 20)
    raise AssertionError(f"Nothing was said of {code!r}.")


@run_in("in a coroutine")
def test_in_a_coroutine_it_is_said(
    entry: Entry, table: JobTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = asyncio.run(said_of(entry.code, names_for_entries(table, tmp_path, monkeypatch), table))
    assert is_as_listed(said, entry), said


def names_of_hosts(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    def with_toys(ask: Callable[[WireHost], object]) -> None:
        with serving(lambda io_loop: ToyHost(COROUTINES, asyncio_loop(io_loop))) as path:
            client = WireHost(path)
            try:
                ask(client)
            finally:
                client.close()

    def gone_job() -> WireJob:
        jobs: list[WireJob] = []
        with_toys(lambda client: jobs.append(client.start(JobSpec("wait", "a"))))
        return jobs[0]

    def meet_a_stranger() -> None:
        patch.setattr("os.geteuid", lambda: 7)
        one, other = socket.socketpair()
        with one, other:
            need_own_peer(one)

    ways = (with_toys, gone_job, meet_a_stranger, start_at_a_server_that_says, listen, launch)
    values = (need_command, spec_from, status_from, pieces_of)
    classes = (WireHost, JobSpec, GroupSpec, Fields, Frame)
    return {
        **{named.__name__: named for named in (*ways, *values, *classes)},
        "patch": patch,
        "encode_frame": encode_frame,
        "HELLO_OF_A_HOST": HELLO_OF_A_HOST,
    }


@run_in("of a host")
def test_of_a_host_it_is_said(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((OSError, IpyprocError)) as caught:
        exec(entry.code, names_of_hosts(monkeypatch))
    said = str(caught.value)
    monkeypatch.undo()
    assert is_as_listed(said, entry), said


def names_of_kept(patch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    def console(*words: str) -> None:
        options = parser().parse_args(words)
        options.run(options)

    @contextmanager
    def kept(command: str, **fields: Any) -> Iterator[KeptJob]:
        with keeping() as host:
            job = host.start(JobSpec(command, "a", **fields))
            assert job.block_until(lambda: job.ending is not None or job.output.end > 0, 30)
            assert job.ending is None or until_nobody_runs()
            yield job

    @contextmanager
    def kept_group() -> Iterator[KeptGroup]:
        with keeping() as host:
            group = host.start(GroupSpec(("true",), "a"))
            assert isinstance(group, KeptGroup)
            yield group

    def until_nobody_runs() -> bool:
        return wait_until(lambda: not kept_processes())

    def record_of(**given: object) -> Record:
        spec = {"command": "true", "name": "a"}
        return Record(Fields({"version": 1, "spec": spec, "status": {"state": "running"}, **given}, "it"))

    def jobs_are(what: str) -> None:
        patch.setenv("XDG_STATE_HOME", str(folder))
        jobs = Path(jobs_directory())
        jobs.parent.mkdir(0o700)
        if what == "a file":
            jobs.touch(0o600)
            return
        jobs.mkdir(0o700)
        if what == "open":
            jobs.chmod(0o755)
        else:
            patch.setattr("os.geteuid", lambda: 7)

    named = (console, kept, kept_group, record_of, jobs_are, remove, start_holder)
    return {
        **{one.__name__: one for one in (*named, JobSpec, KeeperHost, Place)},
        "patch": patch,
        "folder": folder,
        "LADDER": LADDER,
    }


@run_in("of what is kept")
def test_of_what_is_kept_it_is_said(entry: Entry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises((OSError, IpyprocError)) as caught:
        exec(entry.code, names_of_kept(monkeypatch, tmp_path))
    said = str(caught.value)
    monkeypatch.undo()
    assert is_as_listed(said, entry), said


_FRESH = """
import asyncio, errno, os, resource, signal, sys, tempfile, time
from tornado.ioloop import IOLoop
from ipyproc.job.command import explain_start_error
from ipyproc.job.table import JobTable
from ipyproc.process import Subprocess, fork_processes
def no_more_processes():
    if os.getuid() == 0:  # who may have as many as it likes
        os.setgid(64321), os.setuid(64321)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
table = JobTable()
spawn = table.spawn
try:
    exec(sys.argv[1])
except OSError as error:
    print(explain_start_error(error, 'true'), end='')
except Exception as error:
    print(error, end='')
finally:
    table.end_all()
"""


@run_in("in a fresh interpreter")
def test_in_a_fresh_interpreter_it_is_said(entry: Entry) -> None:
    said = run_python("-c", _FRESH, entry.code).stdout
    assert is_as_listed(said, entry), said


_BEFORE_A_CELL = """
import contextlib, os, resource, sys, threading
import ipyproc.bench.bench  # not when there are no more files
lock = threading.Lock()
for name, mode in (("plain", 0o644), ("noexec", 0o755)):
    open(name, "w").close()
    os.chmod(name, mode)
if not os.path.islink("loop"):
    os.symlink("loop", "loop")
@contextlib.contextmanager
def no_more_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
def fork_with(python):
    before, sys.executable = sys.executable, python
    try:
        get_ipython().run_cell_magic("fork", "-n 1", "pass")
    finally:
        sys.executable = before
job = ipyproc.spawn(["sleep", "60"], name="running", quiet=True)
result = await ipyproc.spawn("true", name="ended", quiet=True)
"""


@run_in("in a cell")
def test_in_a_cell_it_is_said_and_nothing_else(entry: Entry, kernel: Kernel) -> None:
    before = kernel.run(_BEFORE_A_CELL)
    assert before.status == "ok", before.error
    cell = kernel.run(entry.code)
    assert cell.status == "error"
    said = cell.reply["evalue"]
    assert is_as_listed(said, entry), said
    shown = re.sub(r"\x1b\[[0-9;]*m", "", cell.error or cell.stderr).rstrip("\n")
    whole = f"{cell.reply['ename']}: {said}"
    # Python shows more of what is no magic's.
    assert shown.endswith(whole) if entry.code.startswith("await ") else shown == whole


@run_in("on a cell's standard output")
def test_on_a_cells_standard_output_it_is_said(entry: Entry, kernel: Kernel) -> None:
    cell = kernel.run(entry.code)
    assert cell.status == "ok", cell.error
    assert is_as_listed(cell.stdout.rstrip("\n"), entry), cell.stdout


# All read well


def faults(entry: Entry) -> Iterator[str]:
    sentence, quotes_output, _ = entry.sentence.partition(":\n")
    if sentence.startswith("[Errno"):
        return  # The system's own words.
    if not re.match(r"[A-Z%'\d]|[a-z]+_[a-z]+\b", sentence):
        yield "begins neither with a capital letter, nor with a magic's or a code's name, nor with a value"
    if not quotes_output and not sentence.endswith("."):
        yield "has no full stop"
    if "\n" in sentence:
        yield "has several lines"
    yield from (f"has {bad!r}" for bad in ("ipyproc/", "Traceback", ".)") if bad in sentence)
    yield from (f"does not say {value}" for value in entry.given if value not in sentence)


def test_every_sentence_reads_well() -> None:
    found = {entry.sentence: list(faults(entry)) for entry in LISTING}
    assert not {sentence: wrong for sentence, wrong in found.items() if wrong}


# None is missing


_NOBODY_MEETS = {
    "module {} has no attribute {}": "Python's own words for a name that is in no module",
    "warden: {}": "what the warden says to itself",
    "A message is one of ? ! + - and numbers, or d and a path.": "what the warden says to itself",
    "A terminal comes with the time at which it was made.": "what the warden says to itself",
    "{} is {}; give a number of bytes, or one such as '2G'.": "max_memory is one, and is listed",
    "a process that it started could not be ended, and lives on": "takes two users, as in test_life.py",
    "Job {} has not ended; it goes on running.": "only without a loop, which says more",
    "The session {} is the caller's own; start the job in a session of its own.": "a job has its own",
    "The session {} is no job's; start the job in a session of its own.": "a job has its own",
    "{} is {}; give {} or more.": "a job's spec has been looked at by then",
    "{} is impossible now ({}, {}); report each stimulus once, in order.": "a guard of the state machine",
    "This host has no job {} that can be attached to; start it anew.": "of hosts that keep nothing",
    "The host of job {} starts no job anew; start its command again.": "of hosts that cannot",
    "there is no message {} with the fields {}": "a slip in a call of ours",
    "{} is not a command of the kernel.": "the kernel is of the helper's version, and sends nothing else",
    "There is no variable {} to push; assign it in a cell first, or check its spelling.": "--push has one",
    "The connection to a host broke: {}": "another one is made",
    "The other end of the connection to a host was closed.": "another one is made",
    "The connection to the host at {} failed; start it anew.": "a slip of ours, which is logged",
    "The host at {} was replaced by another one; start the job anew.": "a job's note, as in test_wire.py",
    "The connection to the host at {} was closed.": "only who asks something while another thread closes it",
    "No thread can be started for a host; end some of those that run.": "as where the stand-in has none",
    "A job came to a host without a command or a name; restart the host.": "every spec has them",
    "A job's input of {} bytes came to a host as {}; start its command again.": "what was sent is counted",
    "The ticket {} of a job is not a new one; restart the host.": "our tickets are random",
    "ipyproc: {}": "the program says what is listed",
    "[detached from {}]": "what the program says of a job",
    "{}: {}, pid {}": "what the program says of a job",
    "no kept jobs; 'ipyproc start COMMAND' or '%%spawn --keep' starts one": "a table without rows",
    "ipyproc: there is no command; write 'ipyproc start COMMAND'": "a misuse, as in test_console.py",
    "A kept job's holder starts no other; start {} with a holder of its own.": "clients ask for none",
    "what its helper reports could not be kept": "a group's note, where the disk is full",
    "The host does not know {}; restart it with the ipyproc of this kernel.": "of a newer client",
}
_HAVE_NO_WORDS = {
    "subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)": "subprocess has them",
    "ValueError(plain.get('is'))": "it is caught, and named, below",
    "FileNotFoundError(2, os.strerror(2), spec.command[0])": "the system has them",
    "JobSpecError(str(status.error))": "the error has them",
    "OSError(number, os.strerror(number), path)": "the system has them",
    "JobFailed(result.returncode, self.command, self._detail(), notes, shown)": "JobFailed has them",
    "OSError(code, os.strerror(code), self._program)": "the system has them",
    "OSError(error.errno, sentence)": "it is made above",
    "self._late()": "it is made below",
    "_no_terminal(error)": "it is made below",
    "UsageError(f'{self._before}{error}')": "the error has them",
    "UsageError(explain_start_error(error, self._program))": "explain_start_error has them",
    "no_python(error, first_line)": "no_python has them",
    "self._no_python(error)": "no_python has them",
    "Stopped(signum)": "control flow",
    "Stopped(signal.SIGINT)": "control flow",
    "ChildProcessError": "control flow",
    "NotImplementedError": "what a subclass has to define",
    "OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))": "caught in the room, which does it otherwise",
    "OSError(errno.EPERM, 'A fork may not write output')": "the spool notes it",
    "FileNotFoundError(errno.ENOENT, 'Another file is there', path)": "the spool logs it",
    "OSError(errno.EINVAL, 'it is not a regular file', self.path)": "the table says it",
    "KeyError(kind)": "caught where it is raised",
    "KeyError(number)": "caught by the group",
}


def is_listed(words: Words) -> bool:
    return any(words.are_in(entry.sentence) for entry in LISTING)


def test_every_sentence_of_the_package_is_listed() -> None:
    said = [words for module in package() for words in module.words]
    missing = [str(words) for words in said if words.text not in _NOBODY_MEETS and not is_listed(words)]
    assert not missing, "not in sentences.txt:\n" + "\n".join(missing)
    assert _NOBODY_MEETS.keys() <= {words.text for words in said}, "nobody says this any more"


def test_every_exception_has_its_sentence_where_it_is_raised_or_is_known_to_have_none() -> None:
    assert {raised for module in package() for raised in module.wordless} == _HAVE_NO_WORDS.keys()


def test_a_sentence_that_is_new_is_found() -> None:
    module = Reader(
        "new.py",
        "def f(x):\n"
        "    how = 'is new' if x else f'is as new as {x}'\n"
        "    if x > 1: raise JobStateError(f'The {x} {how}; leave it.')\n"
        "    if x > 2: raise _error('there is a new one')\n"
        "    if x > 3: raise ValueError(f(x))\n"
        "    if x > 4: raise TimeoutError\n"
        "    self.stop(note=f'new {x} was stopped')\n",
    )
    texts = [words.text for words in module.words]
    assert texts == [
        "The {} is new; leave it.",
        "The {} is as new as {}; leave it.",
        "there is a new one",
        "new {} was stopped",
    ]
    assert module.wordless == ["ValueError(f(x))", "TimeoutError"]
    assert not any(is_listed(words) for words in module.words)
