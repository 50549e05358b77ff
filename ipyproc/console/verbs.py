"""What the program ``ipyproc`` does, a function a command; each returns the exit status."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ipyproc import safe
from ipyproc.console.terminal import Keyboard, key_of
from ipyproc.errors import IpyprocError, JobSpecError, JobStateError, UnknownJobError
from ipyproc.hosts.base import HostedGroup
from ipyproc.hosts.keeper.host import KeeperHost, known_record
from ipyproc.hosts.keeper.job import KeptJob
from ipyproc.hosts.keeper.places import Place, all_places
from ipyproc.hosts.keeper.record import Record
from ipyproc.model.life import stop_ladder
from ipyproc.model.state import JobState, Status, describe_status
from ipyproc.spool.named import NamedOutput

__all__ = ["attach", "forget", "logs", "ls", "restart", "send", "start", "stop"]

_PIECE = 1 << 20
_LOOK_SECONDS = 0.05
_HELD_SECONDS = 30.0
_MISUSED = 2
_SCREENFUL = 64 << 10


def ls(options: argparse.Namespace) -> int:
    """List the jobs."""
    rows = []
    for place, record in _all():
        status, output = record.status, _output(place, record)
        row = {
            "name": record.spec.name,
            "pid": status.pid,
            "state": _state(status),
            "time": _time(record),
            "output": output.end,
            "command": record.spec.shown_command,
            "id": place.id,
        }
        output.close()
        rows.append(row)
    if options.json:
        for row in rows:
            print(json.dumps(row))
        return 0
    if not rows:
        print("no kept jobs; 'ipyproc start COMMAND' or '%%spawn --keep' starts one")
        return 0
    shown: list[dict[str, str]] = [{key: safe.line(str(value)) for key, value in row.items()} for row in rows]
    width = shutil.get_terminal_size().columns
    names = ("name", "pid", "state", "time", "output", "command")
    widths = {name: max(len(name), *(len(row[name]) for row in shown)) for name in names[:-1]}
    for cells in ({name: name.upper() for name in names}, *shown):
        padded = [cells[name].ljust(widths[name]) for name in names[:-1]]
        print("  ".join([*padded, cells["command"]])[:width].rstrip())
    return 0


def logs(options: argparse.Namespace) -> int:
    """Write a job's output, from its files alone."""
    place, record = _find(options.job)
    output = _output(place, record)
    if options.lines is not None:
        sys.stdout.buffer.write(output.tail(options.lines).encode())
    at = output.end if options.lines is not None else output.start
    while True:
        # In this order: what is written before the end is there when the end is seen.
        over = not options.follow or _record_again(place, record).status.state.done
        output.refresh()
        while at < output.end:
            data = output.read(at, at + _PIECE)
            if not data:
                break
            sys.stdout.buffer.write(data)
            at += len(data)
        sys.stdout.buffer.flush()
        if over:
            output.close()
            return 0
        time.sleep(_LOOK_SECONDS)


def attach(options: argparse.Namespace) -> int:
    """Be the terminal of a job."""
    key = key_of(options.detach_key)
    with _attached(options.job) as job:
        if not job.spec.reads_terminal:
            raise JobStateError(
                f"Job {job.spec.name!r} has no terminal; see it by 'ipyproc logs -f', write to it by "
                "'ipyproc send'."
            )
        if job.state.done:
            raise JobStateError(f"Job {job.spec.name!r} has ended; see it by 'ipyproc logs'.")
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise JobStateError("'ipyproc attach' needs a terminal; run it in one, or use logs and send.")
        at = max(job.output.start, job.output.end - _SCREENFUL)
        with Keyboard(job, key) as keyboard:
            at = keyboard.show(at)
            while not keyboard.is_detached and not job.state.done:
                keyboard.turn()
                at = keyboard.show(at)
            keyboard.show(at)
        name = safe.line(job.spec.name)
        print(f"[detached from {name}]" if keyboard.is_detached else f"[{name}: {_state(job.status())}]")
    return 0


def send(options: argparse.Namespace) -> int:
    """Write to a job."""
    with _attached(options.job) as job:
        # What a group reads are the commands for its helper.
        is_group = isinstance(job, HostedGroup)
        takes = job.block_until(lambda: job.takes_input or job.state.done, _HELD_SECONDS)
        if is_group or not takes or job.state.done:
            raise JobStateError(f"Job {job.spec.name!r} takes no input; see 'ipyproc ls'.")
        data = options.text.encode() + (b"" if options.bare or (options.eof and not options.text) else b"\n")
        job.write(data, close=options.eof)
        job.block_until(lambda: not job.unread_input, _HELD_SECONDS)
    return 0


def stop(options: argparse.Namespace) -> int:
    """Stop a job, and what it has left running."""
    with _attached(options.job) as job:
        job.stop(options.grace, stop_ladder(job.spec.stop_signal))
        job.block_until(lambda: job.state.done and not job.left, None)
        print(f"{safe.line(job.spec.name)}: {_state(job.status())}")
    return 0


def restart(options: argparse.Namespace) -> int:
    """Stop a job, and start it anew."""
    with _attached(options.job) as job:
        lives = job.status().lives
        job.restart(2.0, stop_ladder(job.spec.stop_signal))
        job.block_until(lambda: job.status().lives > lives or not job.status().again, None)
        print(f"{safe.line(job.spec.name)}: {_state(job.status())}, pid {job.pid}")
    return 0


def forget(options: argparse.Namespace) -> int:
    """Remove all that is kept of a job."""
    with _attached(options.job) as job:
        if not job.state.done or job.left:
            raise JobStateError(
                f"Job {job.spec.name!r} is {job.state.value}, and cannot be forgotten; stop it first."
            )
        job.release()
    return 0


def start(options: argparse.Namespace) -> int:
    """Start a job."""
    # The table of jobs knows all that a job can be given; nothing else here needs it.
    from ipyproc.job.table import JobTable

    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        print("ipyproc: there is no command; write 'ipyproc start COMMAND'", file=sys.stderr)
        return _MISUSED
    table, size = JobTable(), shutil.get_terminal_size((100, 24))
    job = table.spawn(
        words[0] if len(words) == 1 else words,
        name=options.name or _free_name(words[0]),
        cwd=options.cwd or os.getcwd(),
        timeout=options.timeout,
        restart=options.restart,
        tty=not options.pipes,
        rows=size.lines,
        columns=size.columns,
        keep=True,
    )
    hosted = job.hosted
    hosted.block_until(lambda: bool(hosted.pid) or hosted.state.done, _HELD_SECONDS)
    status = hosted.status()
    if status.error is not None and status.state.done:
        raise JobSpecError(str(status.error))
    print(f"{safe.line(job.name)}: {_state(status)}, pid {status.pid}")
    table.end_all()
    return 0


# Jobs


def _all() -> Iterator[tuple[Place, Record]]:
    for place in all_places():
        try:
            yield place, known_record(place)
        except IpyprocError as error:
            print(f"ipyproc: {error}", file=sys.stderr)


def _find(word: str) -> tuple[Place, Record]:
    """Return the job of a name, an id or a pid; of several of a name one that runs, or else the last.

    Raises:
        UnknownJobError: there is none.
    """
    found = [
        (place, record)
        for place, record in _all()
        if word in (record.spec.name, place.id, str(record.status.pid))
    ]
    if not found:
        names = ", ".join(dict.fromkeys(safe.line(record.spec.name) for _, record in _all()))
        raise UnknownJobError(f"There is no kept job {word!r}; the jobs are: {names or 'none'}.")
    return max(found, key=lambda one: not one[1].status.state.done)


def _record_again(place: Place, before: Record) -> Record:
    try:
        return known_record(place)
    except IpyprocError:
        # It was forgotten meanwhile.
        before.status = Status(JobState.EXITED)
        return before


@contextmanager
def _attached(word: str) -> Iterator[KeptJob]:
    place, _ = _find(word)
    host = KeeperHost()
    try:
        job = host.attach(place.id)
        job.wait_until_held(_HELD_SECONDS)
        yield job
    finally:
        host.close()


def _output(place: Place, record: Record) -> NamedOutput:
    spec = record.spec
    return NamedOutput(place.path, spec.max_output, spec.encoding, terminal=spec.tty, writes=False)


def _free_name(program: str) -> str:
    """Return a name after a program that no job has that runs."""
    made = os.path.basename(program.split()[0]) if program.split() else "job"
    taken = {record.spec.name for _, record in _all()}
    number, name = 1, made
    while name in taken:
        number += 1
        name = f"{made}-{number}"
    return name


def _state(status: Status) -> str:
    if not status.state.done:
        return status.state.value
    ending = describe_status(status.returncode or 0)
    if status.ending is not None and status.ending.ended_by:
        ending = f"stopped, {ending}"
    return f"{ending}, left {status.left} running" if status.left else ending


def _time(record: Record) -> str:
    status = record.status
    seconds = status.elapsed if status.state.done else max(0.0, time.time() - record.born)
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
