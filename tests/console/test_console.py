"""The program ``ipyproc``: what a person in a terminal sees and does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pexpect
import pytest

from ipyproc.console.main import main
from ipyproc.model.spec import JobSpec
from tests.hosts.kept import end_all_kept, keeping
from tests.support import lives, wait_until

PROGRAM = [sys.executable, "-m", "ipyproc.console"]


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    end_all_kept()


def said(capfd: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What a command writes."""
    capfd.readouterr()
    assert main(arguments) == status
    out, err = capfd.readouterr()
    return out if status == 0 else err


def listed(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in said(capfd, "ls", "--json").splitlines()]


def test_a_job_is_started_seen_talked_to_stopped_and_forgotten(capfd: pytest.CaptureFixture[str]) -> None:
    assert "no kept jobs" in said(capfd, "ls")
    script = "seq 100; read line; echo got $line >&2; exec sleep 600"
    assert "train: running, pid " in said(capfd, "start", "--pipes", "-n", "train", script)
    [row] = listed(capfd)
    assert (row["name"], row["state"], row["command"]) == ("train", "running", script)
    assert lives(row["pid"])
    said(capfd, "send", "train", "it")
    wait_until(lambda: "got it\n" in said(capfd, "logs", "train"))
    assert said(capfd, "logs", "-n", "2", "train") == "100\ngot it\n"
    assert "cannot be forgotten" in said(capfd, "forget", "train", status=1)
    assert "has no terminal" in said(capfd, "attach", "train", status=1)
    with keeping() as host:
        # What is started in a terminal is there for others.
        [ticket] = host.tickets()
        assert host.attach(ticket).spec.name == "train"
        host.close()
        assert "pid" in said(capfd, "restart", "train")
        assert said(capfd, "stop", "--grace", "60", "train") == "train: stopped, SIGINT\n"
        assert "train" in said(capfd, "ls") and "SIGINT" in said(capfd, "ls")
        said(capfd, "logs", "-f", "train")
        said(capfd, "forget", row["id"])
    assert listed(capfd) == []


def test_what_is_wrong_is_said_in_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert "There is no kept job 'nix'; the jobs are: none." in said(capfd, "logs", "nix", status=1)
    assert "/no/such" in said(capfd, "start", "/no/such", "thing", status=1)
    assert "there is no command" in said(capfd, "start", status=2)
    assert "The detach key 'x' is not" in said(capfd, "attach", "--detach-key", "x", "nix", status=1)


def test_logs_follow_a_job_to_its_end() -> None:
    with keeping() as host:
        job = host.start(JobSpec("seq 5; read x; seq 20000; exit 3", "counts"))
        with subprocess.Popen([*PROGRAM, "logs", "-f", "counts"], stdout=subprocess.PIPE) as follower:
            assert follower.stdout is not None
            assert follower.stdout.read(10) == b"1\n2\n3\n4\n5\n"
            job.write(b"\n")
            assert follower.stdout.read().endswith(b"19999\n20000\n")
        assert follower.returncode == 0


def typed(terminal: pexpect.spawn, line: str) -> bytes:
    """What a shell answers."""
    terminal.sendline(line)
    terminal.expect_exact(f"{line}\r\n")
    terminal.expect_exact("at> ")
    return bytes(terminal.before)


def test_a_terminal_is_attached_to_and_left() -> None:
    with keeping() as host:
        shell = "PS1='at> ' exec bash --norc --noprofile -i"
        job = host.start(JobSpec(shell, "shell", tty=True))
        assert job.block_until(lambda: "at> " in job.output.text(), 60)
        terminal = pexpect.spawn(
            PROGRAM[0], [*PROGRAM[1:], "attach", "shell"], dimensions=(33, 99), timeout=60
        )
        try:
            terminal.expect_exact("at> ")
            terminal.sendline("echo $((6 * 7)); stty size")
            terminal.expect_exact("42\r\n")
            terminal.expect_exact("33 99\r\n")
            terminal.setwinsize(20, 70)
            wait_until(lambda: b"20 70" in typed(terminal, "stty size"))
            terminal.sendline("sleep 600")
            assert job.block_until(lambda: "sleep 600\r" in job.output.read().decode(), 60)
            terminal.send("\x03")
            terminal.expect_exact("^C")
            terminal.send("\x1c")
            terminal.expect_exact("[detached from shell]")
            terminal.expect(pexpect.EOF)
            assert terminal.wait() == 0 and not job.state.done
            again = pexpect.spawn(PROGRAM[0], [*PROGRAM[1:], "attach", "shell"], timeout=60)
            again.expect_exact("42\r\n")
            again.sendline("exit 5")
            again.expect_exact("[shell: exit 5]")
            again.expect(pexpect.EOF)
            again.wait()
            again.close()
        finally:
            terminal.close(force=True)
