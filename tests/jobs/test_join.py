"""Waiting for jobs in code that cannot await: the call drives what the loop that it holds would drive."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from ipyproc.errors import JobFailed, JoinTimeout
from ipyproc.job.table import JobTable
from tests.jobs.looped import looped
from tests.support import loop_in_a_thread, wait_until


@looped
async def test_a_join_gives_the_result_and_all_of_the_output(table: JobTable) -> None:
    job = table.spawn("seq 1 100000; echo error >&2")
    result = job.join(30)
    assert result.returncode == 0
    assert result.stdout == "".join(f"{n}\n" for n in range(1, 100_001))
    assert result.stderr == "error\n"
    assert job.join() == result == await job


@looped
async def test_a_join_raises_for_a_failure_unless_it_is_told_not_to(table: JobTable) -> None:
    job = table.spawn("echo no such thing >&2; exit 3")
    with pytest.raises(JobFailed, match="exited with status 3:\nno such thing"):
        job.join(30)
    assert job.join(raise_error=False).returncode == 3


@looped
async def test_a_join_that_takes_too_long_is_a_timeout_and_the_job_goes_on(table: JobTable) -> None:
    job = table.spawn("read x; echo got $x", name="slow")
    with pytest.raises(JoinTimeout, match=r"Job 'slow' has not ended within 0.05 s; it goes on running."):
        job.join(timeout=0.05)
    assert not job.done
    job.send("it\n")
    assert job.join(30).output == "got it\n"


@looped
async def test_restarts_timeouts_readiness_and_input_go_on_in_a_join(table: JobTable) -> None:
    flaky = table.spawn("echo run; exit 1", restart="on-failure", max_restarts=2, backoff=0.05, name="flaky")
    assert flaky.join(30, raise_error=False).output == "run\n" * 3
    late = table.spawn("sleep 60", timeout=0.1, name="late")
    assert late.join(30, raise_error=False).timed_out
    fed = table.spawn("wc -c", stdin=b"x" * 3_000_000, name="fed")
    assert fed.join(30).output.split() == ["3000000"]
    ready = table.spawn("echo up; read x", ready="up", name="ready")
    ready.close_stdin()
    ready.join(30, raise_error=False)
    assert ready.snapshot().ready


@looped
async def test_an_interrupt_of_a_join_leaves_the_job_running(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"])
    main = threading.get_ident()

    def interrupt() -> None:
        # Not before it waits: this thread's frames are looked at.
        wait_until(lambda: "block_until" in functions_of(main))
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            job.join(30)
    finally:
        signal.signal(signal.SIGINT, before)
        interrupting.join()
    assert not job.done
    await job.stop()


def functions_of(thread: int) -> list[str]:
    """The names of the functions that a thread is in."""
    frame, names = sys._current_frames().get(thread), []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


def test_a_join_may_be_made_in_any_thread(table: JobTable) -> None:
    with loop_in_a_thread() as io_loop:
        jobs = []
        io_loop.add_callback(lambda: jobs.append(table.spawn("sleep 0.2; echo done")))
        wait_until(lambda: jobs)
        assert jobs[0].join(30).output == "done\n"
