"""Runs jobs whose spool finds no room, by the limit named in argv[1]; prints what they say, as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ipyproc.errors import JobFailed
from ipyproc.job.table import JobTable
from ipyproc.spool.output import Output
from tests.jobs.looped import PYTHON

WRITER = """
import os, sys
for number in range(3000):
    for fd in 1, 2:
        rest = b"%07d" % number + (b"o" if fd == 1 else b"e") * 991 + b"\\n"
        while rest:
            rest = rest[os.write(fd, rest):]
if len(sys.argv) > 1:
    os.write(2, b"the very last words")
    sys.exit(1)
"""
WRITTEN = 3000 * 2 * 999


@contextmanager
def full(limit: str) -> Iterator[None]:
    if limit == "file size":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_001, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    with tempfile.TemporaryDirectory() as directory:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", directory]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            raise PermissionError("mounting is not allowed here")
        before_it, tempfile.tempdir = tempfile.tempdir, directory
        yield
        tempfile.tempdir = before_it
        subprocess.run(["umount", "-l", directory], check=True)


def fill(output: Output, number: int) -> None:
    """Writes small pieces, of which the notes take up more room than the bytes."""
    for n in range(number):
        output.append("stderr" if n % 2 else "stdout", b"%07d\n" % n if n % 2 else b"ooooooo\n", n)


def streams_are_right(output: Output) -> bool:
    out, err = output.text("stdout"), output.text("stderr")
    return set(out) == {"o", "\n"} and "o" not in err and len(out) + len(err) == output.end


async def main(limit: str) -> dict[str, object]:
    table = JobTable()
    with full(limit):
        job = table.spawn([*PYTHON, WRITER], name="full")
        result = await job
        out, err = job.stdout, job.stderr
        kept = job.read()
        told: dict[str, object] = {
            "written": WRITTEN,
            "returncode": result.returncode,
            "size": job.snapshot().size,
            "lost": job.snapshot().lost,
            "notes": job.snapshot().notes,
            "kept": len(kept),
            "kept is a beginning": kept[:7] == b"0000000" and len(out) + len(err) == len(kept),
            "streams are right": "e" not in out and "o" not in err and bool(out) and bool(err),
        }
        try:
            await table.spawn([*PYTHON, WRITER, "fail"], name="failing")
        except JobFailed as error:
            told["stderr in the error"] = "the very last words" in str(error)
        table.clear()
        small = Output(1 << 30)
        fill(small, 100_000)
        told["small pieces are right"] = streams_are_right(small) and small.lost > 0
    full_at, lost = small.end, small.lost
    fill(small, 1000)
    told["it goes on when there is room"] = (
        streams_are_right(small) and small.lost == lost and small.end == full_at + 8_000
    )
    small.close()
    again = table.spawn([*PYTHON, WRITER])
    await again
    told["the next job keeps its output"] = len(again.read()) == WRITTEN and again.snapshot().lost == 0
    table.end_all()
    return told


if __name__ == "__main__":
    try:
        print(json.dumps(asyncio.run(main(sys.argv[1]))))
    except PermissionError as error:
        print(json.dumps({"skipped": str(error)}))
