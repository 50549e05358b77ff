"""Talking to a job: expecting text, reading bytes as an IOStream does, with real programs."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from ipyproc.errors import (
    ExpectTimeout,
    JobSpecError,
    JobStateError,
    OutputEnded,
    UnsatisfiableReadError,
)
from ipyproc.job.table import JobTable
from tests.jobs.looped import looped
from tests.support import until

PROMPT = re.compile(r"^>>> ", re.MULTILINE)


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
def test_reads_go_on_from_each_other_and_lose_nothing_to_output(table: JobTable, tty: bool) -> None:
    @looped
    async def main() -> None:
        end = b"\r\n" if tty else b"\n"
        job = table.spawn("printf 'one: '; echo two; echo drei; printf 'é|vier'", tty=tty)
        assert (await job.expect("one: "))[0] == "one: "
        assert await job.read_bytes(2) == b"tw"
        assert await job.read_until(b"\n") == b"o" + end
        assert await job.read_until_regex(rb"r.") == b"dre"
        match = await job.expect(re.compile(r"(i)\n(.)"))
        assert match.groups() == ("i", "é") and match.string[: match.start()] == ""
        assert await job.read_bytes(100, partial=True) in (b"|vier", b"|")
        with pytest.raises(OutputEnded, match=r"ended before 'more' came; its last line is 'é\|vier'\."):
            await job.expect("more")
        result = await job
        assert result.output == job.output == "one: two\ndrei\né|vier"
        assert [line async for line in job] == ["one: two", "drei", "é|vier"]

    main()


@looped
async def test_what_comes_in_pieces_is_found_across_them(table: JobTable) -> None:
    job = table.spawn("cat", tty=False)
    expected = asyncio.ensure_future(job.expect("a long prompt> "))
    for piece in ("x" * 3000, "a long", " pro", "mpt", "> ", "rest"):
        job.send(piece)
        await until(lambda: job.output.endswith(piece))
    assert (await expected).start() == 3000
    job.send("\u20ac".encode()[:1])
    read = asyncio.ensure_future(job.expect("rest\u20ac"))
    await until(lambda: job.size == 3020)
    assert not read.done()
    job.send("\u20ac".encode()[1:] + b"!")
    await read
    job.close_stdin()
    assert await job.read_until(b"!") == b"!"


@looped
async def test_one_reads_at_a_time_and_a_cancelled_read_has_taken_nothing(table: JobTable) -> None:
    job = table.spawn("cat")
    first = asyncio.ensure_future(job.read_bytes(8))
    job.send("part")
    await until(lambda: job.size == 4)
    with pytest.raises(JobStateError, match="waited for by another expect"):
        await job.expect("x")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(job.read_until(b"\n"), 0.05)
    early, late = job.read_bytes(2), job.read_bytes(2)
    assert await early == b"pa" and await late == b"rt"
    with pytest.raises(
        ExpectTimeout, match=r"has not written 'x\?' within 0.05 s; its last line is 'part'\."
    ):
        await job.expect("x?", timeout=0.05)
    job.close_stdin()
    with pytest.raises(OutputEnded, match="before 3 bytes came"):
        await job.read_bytes(3)
    with pytest.raises(TimeoutError), pytest.raises(EOFError):
        raise ExpectTimeout("")


@looped
async def test_a_read_with_a_bound_ends_at_it_and_takes_nothing(table: JobTable) -> None:
    job = table.spawn("printf abcdefgh; exec sleep 60")
    with pytest.raises(UnsatisfiableReadError, match="has written 8 bytes without b'z' in the first 5"):
        await job.read_until(b"z", max_bytes=5)
    with pytest.raises(UnsatisfiableReadError):
        await job.read_until_regex(b"h", max_bytes=5)
    assert await job.read_until(b"e", max_bytes=5) == b"abcde"
    await job.stop()


@looped
async def test_a_pattern_is_found_in_a_flood_while_the_loop_runs(table: JobTable) -> None:
    job = table.spawn("seq 1000000; echo done-''here", max_output=1 << 20)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await job.expect("done-here", timeout=60)
    counting.cancel()
    await job
    assert turns > 10


@looped
async def test_an_expectation_holds_over_a_restart_and_from_another_thread(table: JobTable) -> None:
    job = table.spawn("echo life; read x", name="again")
    await job.expect("life")
    await job.restart()
    await job.expect("life", timeout=60)
    job.send("\n")
    await job
    other = table.spawn("sleep 0.1; echo for all")
    found = await asyncio.to_thread(lambda: asyncio.run(asyncio.wait_for(other.expect("all"), 60)))
    assert found.end() == 7


@pytest.mark.parametrize("wrong", [b"x", 3, re.compile(b"x"), None])
def test_what_is_no_pattern_is_refused(table: JobTable, wrong: object) -> None:
    @looped
    async def main() -> None:
        job = table.spawn("true")
        with pytest.raises(JobSpecError, match="neither a text nor a compiled pattern of text"):
            job.expect(wrong)  # type: ignore[arg-type]
        with pytest.raises(JobSpecError, match="is not a regular expression of bytes"):
            job.read_until_regex("text")  # type: ignore[arg-type]
        await job

    main()


# Real programs


@looped
async def test_python_is_talked_to(table: JobTable) -> None:
    job = table.spawn([sys.executable, "-q", "-i"], tty=True, env={"PYTHON_BASIC_REPL": "1"})
    await job.expect(PROMPT, timeout=60)
    job.send("6 * 7\n")
    assert (await job.expect(re.compile(r"^(\d+)\n", re.MULTILINE), timeout=60))[1] == "42"
    await job.expect(PROMPT, timeout=60)
    job.send("import getpass; x = getpass.getpass('Secret: ')\n")
    await job.expect("Secret: ", timeout=60)
    await until(lambda: job.hides_input)
    job.send("abc\n")
    await job.expect(PROMPT, timeout=60)
    job.send("len(x)\n")
    await job.expect(re.compile(r"^3\n", re.MULTILINE), timeout=60)
    job.send("input('Sure? ')\n")
    await job.expect(re.compile(r"^Sure\? ", re.MULTILINE), timeout=60)
    job.send("yes\n")
    await job.expect(re.compile(r"^'yes'\n", re.MULTILINE), timeout=60)
    # A Ctrl-D that is typed before the prompt is lost when readline takes the terminal over.
    await job.expect(PROMPT, timeout=60)
    job.close_stdin()
    await asyncio.wait_for(job, 60)
    assert "abc" not in job.output and "input('Sure? ')" in job.output


@looped
async def test_pdb_is_talked_to_from_synchronous_code(table: JobTable) -> None:
    program = "x = 3\nbreakpoint()\nprint('after', x)"
    job = table.spawn([sys.executable, "-c", program], tty=True)
    job.expect("(Pdb) ", timeout=60).join()
    job.send("x = 4\n")
    job.expect("(Pdb) ", timeout=60).join()
    job.send("c\n")
    job.expect("after 4", timeout=60).join()
    with pytest.raises(OutputEnded):
        job.expect("never").join()
    job.join(timeout=60)
