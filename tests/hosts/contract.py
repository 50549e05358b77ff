"""The contract: what every host has to hold to, whoever runs its jobs and wherever.

`Core` is for any host, `Whole` for one that runs commands. A module of tests derives a class from either, and
has the fixtures ``host``, which is closed after the test, and ``spec``, which makes the spec of a job that
does what a word of `tests.hosts.programs` says.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import threading
from collections.abc import Callable
from signal import SIGINT, SIGKILL, SIGTERM, SIGUSR1
from typing import Any

import pytest

from ipyproc.errors import JobSpecError
from ipyproc.hosts.base import Host, HostedJob
from ipyproc.model.event import Event, EventKind
from ipyproc.model.input import Input
from ipyproc.model.life import LADDER
from ipyproc.model.limits import Limits
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import JobState
from tests.support import lives, wait_until

Spec = Callable[..., JobSpec]

_SECONDS = 60.0


def ended(job: HostedJob, seconds: float = _SECONDS) -> HostedJob:
    """Waits for a job's end."""
    assert job.block_until(lambda: job.ending is not None, seconds), job.status()
    return job


def said(job: HostedJob, text: bytes) -> HostedJob:
    """Waits until a job has written something."""
    # As text, since a terminal ends its lines in another way.
    assert job.block_until(lambda: text in job.output.text().encode(), _SECONDS), job.output.read()
    return job


def streams(job: HostedJob) -> dict[str, bytes]:
    """What a job wrote on each stream."""
    found = {"stdout": b"", "stderr": b""}
    for piece in job.output.pieces():
        found[piece.stream] += job.output.read(piece.start, piece.stop)
    return found


class Heard:
    """What a listener was told, and how much output was there by then."""

    def __init__(self, job: HostedJob, since: int = 0) -> None:
        self.events: list[Event] = []
        self.output: dict[EventKind, int] = {}
        self._job = job
        job.listen(self._take, since)

    def _take(self, event: Event) -> None:
        if event.number:
            self.events.append(event)
            self.output[event.kind] = self._job.output.end

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]

    def has(self, kind: EventKind) -> bool:
        return kind in self.kinds

    def are_whole(self) -> bool:
        return [event.number for event in self.events] == list(range(1, len(self.events) + 1))


def heard_all(job: HostedJob) -> Heard:
    """Hears of a job from its beginning to its end."""
    heard = Heard(job)
    assert job.block_until(lambda: heard.has(EventKind.DONE), _SECONDS)
    return heard


class Core:
    """What any host holds to.

    Attributes:
        line_end: what ends a line of its jobs.
        talk: what the job that talks writes.
    """

    line_end = b"\n"
    talk = {"stdout": b"one\nthree\n", "stderr": b"two\n"}

    # Start and end

    def test_a_job_runs_and_ends(self, host: Host, spec: Spec) -> None:
        job = host.start(spec("succeed", name="a"))
        assert job.spec.name == "a"
        ended(job)
        status = job.status()
        assert status.state is job.state is JobState.EXITED
        assert status.returncode == 0 and job.ending == status.ending
        assert status.ending is not None and status.ending.status == 0
        assert status.ending.ended_by is None and not status.ending.timed_out
        assert status.uptime is None and status.elapsed == status.ending.elapsed >= 0
        assert [one.status for one in status.exits] == [0] and job.pid == status.pid
        assert not status.left and not status.again and not status.lives and status.error is None

    def test_a_running_job_says_that_it_runs(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("wait")), b"up\n")
        assert job.state is JobState.RUNNING and not job.lingers
        assert job.ending is None and job.status().returncode is None
        job.kill()
        ended(job)

    def test_the_exit_status_is_the_jobs(self, host: Host, spec: Spec) -> None:
        assert ended(host.start(spec("fail"))).status().returncode == 3

    def test_a_death_by_signal_is_a_negative_status(self, host: Host, spec: Spec) -> None:
        ending = ended(host.start(spec("crash"))).ending
        assert ending is not None and ending.status == -SIGTERM and ending.ended_by is None

    def test_what_keeps_a_job_from_starting_is_raised_by_start(self, host: Host, spec: Spec) -> None:
        with pytest.raises(FileNotFoundError):
            host.start(spec("missing"))
        ended(host.start(spec("succeed")))

    def test_waiting_for_what_does_not_come_ends_in_time(self, host: Host, spec: Spec) -> None:
        job = host.start(spec("wait"))
        assert not job.block_until(lambda: job.state.done, 0.05)
        job.kill()
        ended(job)

    # Output

    def test_output_is_kept_with_its_streams(self, host: Host, spec: Spec) -> None:
        job = ended(host.start(spec("talk")))
        assert streams(job) == self.talk
        assert (
            job.output.end == sum(map(len, self.talk.values()))
            and not job.output.lost
            and not job.output.dropped
        )
        times = [piece.at for piece in job.output.pieces()]
        assert times == sorted(times) and all(time > 1e9 for time in times)

    def test_every_line_is_kept_in_order(self, host: Host, spec: Spec) -> None:
        job = ended(host.start(spec("count")))
        assert job.output.text() == "".join(f"{number}\n" for number in range(1, 10001))

    def test_a_listener_hears_of_output(self, host: Host, spec: Spec) -> None:
        job, wrote = host.start(spec("tick")), threading.Event()
        job.listen(lambda event: wrote.set() if event.kind is EventKind.WROTE else None)
        assert wrote.wait(_SECONDS)
        job.kill()
        ended(job)

    def test_all_output_is_there_when_the_end_is_told(self, host: Host, spec: Spec) -> None:
        heard = heard_all(host.start(spec("count")))
        lines = b"".join(b"%d%b" % (number, self.line_end) for number in range(1, 10001))
        assert heard.output[EventKind.DONE] == len(lines)

    def test_an_ended_job_keeps_its_output_and_its_status(self, host: Host, spec: Spec) -> None:
        job = ended(host.start(spec("talk")))
        status = job.status()
        ended(host.start(spec("count")))
        assert job.status() == status and job.output.text().count("\n") == 3
        job.release()
        assert job.output.read() == b""

    # Events

    def test_events_are_numbered_without_gaps(self, host: Host, spec: Spec) -> None:
        heard = heard_all(host.start(spec("talk")))
        assert heard.are_whole()
        assert heard.kinds == [EventKind.STARTED, EventKind.EXITED, EventKind.DONE]
        times = [event.at for event in heard.events]
        assert times == sorted(times) and all(time > 1e9 for time in times)
        assert all(event.worker is None for event in heard.events)

    def test_who_listens_late_hears_what_was_missed_once(self, host: Host, spec: Spec) -> None:
        job = host.start(spec("fail"))
        first = heard_all(job)
        assert job.events() == first.events and job.events(since=1) == first.events[1:]
        late, later = Heard(job), Heard(job, since=first.events[-1].number - 1)
        wait_until(lambda: len(late.events) == len(first.events) and later.events)
        assert late.events == first.events and later.events == first.events[-1:]

    def test_the_status_is_the_ended_ones_when_the_end_is_told(self, host: Host, spec: Spec) -> None:
        job, seen = host.start(spec("fail")), []
        job.listen(lambda event: seen.append(job.status()) if event.kind is EventKind.DONE else None)
        assert job.block_until(lambda: bool(seen), _SECONDS)
        assert seen[0].state is JobState.EXITED and seen[0].ending.status == 3

    # Stops

    def test_a_stop_returns_at_once_and_ends_the_job_by_its_signal(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("wait")), b"up\n")
        heard = Heard(job)
        job.stop(60.0, LADDER)
        ending = ended(job).ending
        assert ending is not None and (ending.status, ending.ended_by) == (-SIGINT, "SIGINT")
        wait_until(lambda: heard.has(EventKind.DONE))
        assert heard.are_whole()
        assert [event.detail for event in heard.events if event.kind is EventKind.STOPPING] == ["SIGINT"]

    def test_a_stop_climbs_its_ladder(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("ignore")), b"up\n")
        heard = Heard(job)
        job.stop(0.1, LADDER)
        ending = ended(job).ending
        assert ending is not None and (ending.status, ending.ended_by) == (-SIGKILL, "SIGKILL")
        wait_until(lambda: heard.has(EventKind.DONE))
        sent = [event.detail for event in heard.events if event.kind is EventKind.STOPPING]
        assert sent == ["SIGINT", "SIGTERM", "SIGKILL"]

    def test_a_stop_without_grace_sends_one_signal(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("ignore")), b"up\n")
        heard = Heard(job)
        job.stop(None, (SIGINT,))
        assert job.block_until(lambda: heard.has(EventKind.STOPPING), _SECONDS)
        # It stays so, since nothing follows.
        assert job.block_until(lambda: job.state is JobState.STOPPING, _SECONDS)
        assert not job.block_until(lambda: job.state.done, 0.3)
        job.kill()
        ending = ended(job).ending
        assert ending is not None and ending.status == -SIGKILL

    def test_a_killed_job_is_gone(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("ignore")), b"up\n")
        job.kill()
        ending = ended(job).ending
        assert ending is not None and (ending.status, ending.ended_by) == (-SIGKILL, "SIGKILL")

    def test_an_ended_job_is_not_stopped(self, host: Host, spec: Spec) -> None:
        job = host.start(spec("fail"))
        heard = heard_all(job)
        # A process that is about to exit may be counted once more.
        assert job.block_until(lambda: not job.left, _SECONDS)
        status = job.status()
        job.stop(0.0, LADDER)
        job.kill()
        assert not job.signal(SIGTERM)
        ended(host.start(spec("succeed")))
        assert job.status() == status and EventKind.STOPPING not in heard.kinds
        assert heard.kinds.count(EventKind.DONE) == 1

    def test_close_ends_all_and_leaves_nothing(self, host: Host, spec: Spec) -> None:
        jobs = [said(host.start(spec("wait")), b"up\n"), said(host.start(spec("ignore")), b"up\n")]
        gone = ended(host.start(spec("fail")))
        host.close()
        for job in jobs:
            ended(job)
            wait_until(lambda: not job.pid or not lives(job.pid))
        assert gone.status().returncode == 3
        host.close()


class Whole(Core):
    """What a host of commands holds to besides."""

    # The life

    def test_a_failing_job_is_restarted_until_it_gives_up(self, host: Host, spec: Spec) -> None:
        job = host.start(spec("fail", restart="on-failure", max_restarts=2, backoff=0.01))
        heard = heard_all(job)
        assert heard.are_whole() and heard.kinds.count(EventKind.RESTARTING) == 2
        assert heard.kinds.count(EventKind.STARTED) == 3 and heard.kinds[-2:] == [
            EventKind.GAVE_UP,
            EventKind.DONE,
        ]
        status = job.status()
        assert status.state is JobState.GAVE_UP and status.restarts == 2 and status.max_restarts == 2
        assert [one.status for one in status.exits] == [3, 3, 3] and len(
            {one.pid for one in status.exits}
        ) == 3

    def test_a_timeout_ends_a_job(self, host: Host, spec: Spec) -> None:
        status = ended(host.start(spec("wait", timeout=0.3))).status()
        assert status.ending is not None and status.ending.timed_out and status.returncode == -SIGINT
        assert "timed out after 0.3 s" in status.notes

    def test_readiness_is_told_with_the_output_that_shows_it(self, host: Host, spec: Spec) -> None:
        job = host.start(
            spec(f"read go; seq 20000; echo now ready; {COMMAND_WAIT}", ready=re.compile("y$", re.M))
        )
        heard = Heard(job)
        assert not job.status().ready
        job.write(b"\n")
        assert job.block_until(lambda: heard.has(EventKind.READY), _SECONDS)
        assert job.status().ready and b"now ready\n" in job.output.read(0, heard.output[EventKind.READY])
        job.kill()
        ended(job)

    def test_a_job_that_left_processes_says_so_and_a_stop_ends_them(self, host: Host, spec: Spec) -> None:
        job = ended(host.start(spec("sleep 600 >/dev/null 2>&1 & echo $!")))
        left = int(job.output.read())
        assert lives(left) and job.left == 1 and job.lingers
        heard = Heard(job)
        job.stop(2.0, LADDER)
        assert job.block_until(lambda: not job.left, _SECONDS)
        wait_until(lambda: not lives(left))
        assert job.block_until(lambda: heard.has(EventKind.LEFT), _SECONDS)

    def test_an_ended_job_is_started_anew(self, host: Host, spec: Spec) -> None:
        job = ended(host.start(spec("talk", name="again")))
        before = job.pid
        job.restart(1.0, LADDER)
        assert job.status().again or job.status().lives
        assert job.block_until(lambda: job.status().lives == 1 and job.state.done, _SECONDS)
        assert job.output.end == 28 and job.pid != before and not job.status().again

    def test_a_running_job_is_stopped_and_started_anew(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("wait")), b"up\n")
        before = job.pid
        job.restart(60.0, LADDER)
        said(job, b"up\nup\n")
        # A program that runs at once may have written before its start is told.
        assert job.block_until(lambda: job.pid != before, _SECONDS)
        status = job.status()
        assert status.lives == 1 and status.state is JobState.RUNNING and job.pid != before
        assert not lives(before)
        job.kill()
        ended(job)

    def test_a_signal_reaches_the_program(self, host: Host, spec: Spec) -> None:
        job = said(
            host.start(spec("trap 'echo caught; exit 0' USR1; echo up; while :; do sleep 0.02; done")),
            b"up\n",
        )
        assert job.signal(SIGUSR1)
        assert b"caught\n" in ended(job).output.read()

    # Input

    def test_ten_megabytes_of_input_arrive(self, host: Host, spec: Spec) -> None:
        data = bytes(range(256)) * 40960
        job = ended(host.start(spec("sha256sum", stdin=Input(data))))
        assert job.output.text().split()[0] == hashlib.sha256(data).hexdigest()
        assert not job.takes_input

    def test_what_is_written_arrives_in_order_up_to_its_end(self, host: Host, spec: Spec) -> None:
        job = host.start(spec("sha256sum"))
        assert job.takes_input
        digest = hashlib.sha256()
        for number in range(200):
            data = b"%d " % number * 10000
            digest.update(data)
            job.write(data)
        job.write(b"end", close=True)
        digest.update(b"end")
        assert not job.takes_input
        job.write(b"lost")
        assert ended(job).output.text().split()[0] == digest.hexdigest()

    # The spec

    def test_a_spec_holds_in_all_its_parts(self, host: Host, spec: Spec, tmp_path: Any) -> None:
        command = "pwd; echo $A-$HOME-$0; umask; [[ x == x ]] && echo bash; head -c 9 /dev/zero | wc -c"
        job = ended(
            host.start(
                spec(
                    command,
                    cwd=str(tmp_path),
                    env={"A": "b c", "HOME": None},
                    limits=Limits(umask=0o027),
                    timeout=60,
                )
            )
        )
        lines = job.output.text().split("\n")
        assert (
            lines[0] == str(tmp_path) and lines[1].startswith("b c--") and lines[2:5] == ["0027", "bash", "9"]
        )

    def test_a_spec_that_cannot_be_is_refused_by_start(self, host: Host, spec: Spec) -> None:
        with pytest.raises(JobSpecError, match="The working directory '/no/such' does not exist"):
            host.start(spec("succeed", cwd="/no/such"))

    # Much

    def test_the_oldest_output_goes_past_the_bound(self, host: Host, spec: Spec) -> None:
        job = ended(host.start(spec("seq 1000000", max_output=1_000_000)))
        output = job.output
        assert output.end == 6_888_896 and 1_000_000 >= output.end - output.start > 100_000
        assert output.dropped == output.start and not output.lost
        assert output.read(output.end - 8) == b"1000000\n"
        assert output.text() == seq(1000000)[output.start :].decode()

    def test_fifty_jobs_run_at_once(self, host: Host, spec: Spec) -> None:
        jobs = [host.start(spec(f"seq 2000; echo {number} >&2; exit {number}")) for number in range(50)]
        expected = seq(2000)
        for number, job in enumerate(jobs):
            ended(job)
            assert job.status().returncode == number
            assert streams(job) == {"stdout": expected, "stderr": b"%d\n" % number}

    def test_jobs_are_started_from_several_threads(self, host: Host, spec: Spec) -> None:
        jobs: list[HostedJob] = []
        threads = [
            threading.Thread(target=lambda: jobs.extend(host.start(spec("talk")) for _ in range(5)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_SECONDS)
        assert len(jobs) == 20 and all(ended(job).output.end == 14 for job in jobs)

    def test_a_hundred_megabytes_of_output_are_complete(self, host: Host, spec: Spec) -> None:
        job = ended(host.start(spec("seq 13000000")), 90)
        digest = hashlib.sha256()
        for start in range(0, job.output.end, 1 << 20):
            digest.update(job.output.read(start, start + (1 << 20)))
        whole = hashlib.sha256(seq(13000000)).hexdigest()
        assert job.output.end > 100_000_000 and digest.hexdigest() == whole


COMMAND_WAIT = "exec sleep 600"


def seq(last: int) -> bytes:
    return subprocess.run(["seq", str(last)], stdout=subprocess.PIPE, check=True).stdout
