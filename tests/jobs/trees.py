"""Random scripts of process trees, as hard to end as a session can have them; the same seed, the same script.

Whatever a tree does, it stays in its session (it calls no ``setsid``), and would end by itself within two
minutes. Its processes are found by a variable of their environment: `marked`.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable

import psutil

from ipyproc.process.platform.sessions import find_members

__all__ = ["MARK", "WITNESS", "marked", "script", "sessions_alive"]

MARK = "IPYPROC_TEST_TREE"
"""The variable of the environment by which a tree's processes are found."""

WITNESS = (
    "$| = 1; for my $s (qw(HUP INT QUIT TERM USR1 CONT)) { $SIG{$s} = sub { print qq($s\n) } } "
    "print qq(up\n); sleep 1 for 1..170"
)
"""A Perl program that says ``up``, and after that every signal that it gets."""

_SECONDS = 90
_DEPTH = 3

# Each hop is another process in another group: by the time that one is found it has gone.
_HOPPER = "for (1..200) { exit if fork; setpgrp(0, 0); select(undef, undef, undef, 0.03) }"
_MOVER = "fork; for (1..900) { setpgrp(0, $_ % 2 ? 0 : getppid()); select(undef, undef, undef, 0.02) }"
_GROUP_WITHOUT_LEADER = "setpgrp(0, 0); exit if fork; sleep 90"
_DAEMON = "exit if fork; exit if fork; close STDIN; chdir '/'; sleep 90"
_DEAF = "$SIG{$_} = 'IGNORE' for qw(INT TERM HUP QUIT); sleep 1 for 1..90"
_BREEDER = (
    "for (1..300) { if (!fork) { select(undef, undef, undef, 0.1); exit } select(undef, undef, undef, 0.02) }"
)
_ZOMBIES = "for (1..5) { exit if !fork } sleep 90"


def script(seed: int) -> str:
    """Return the bash script of a tree."""
    return _Grower(random.Random(seed)).script()


def marked(mark: str) -> list[int]:
    """Return the pids of the processes that live and have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process.pid)
        except (OSError, psutil.Error):
            continue  # It has gone, or is another user's; a zombie has no environment.
    return found


def sessions_alive(sids: list[int]) -> list[int]:
    """Return the pids of what lives in these sessions."""
    return sorted(member.pid for members in find_members(sids).values() for member in members)


class _Grower:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def script(self) -> str:
        lines = [self._statement(_DEPTH) for _ in range(self._rng.randint(1, 4))]
        if self._rng.random() < 0.3:
            lines.insert(0, "set -m")
        if self._rng.random() < 0.3:
            lines.insert(0, self._trap())
        ending = self._rng.choice(
            ["wait", "exec sleep 90", "sleep 90", "wait; wait", "exit 3", "", "kill -9 $$"]
        )
        return "\n".join([*lines, ending]) + "\n"

    def _statement(self, depth: int) -> str:
        command = self._command(depth)
        if self._rng.random() < 0.4:
            command += self._rng.choice([" >/dev/null", " >/dev/null 2>&1", " </dev/null", " 2>&1"])
        if self._rng.random() < 0.15:
            # In front: but not for ever, or nothing after it would come to run.
            return f"timeout 0.2 {_sh(command)}"
        return self._rng.choice(["{} &", "( {} & )", "( ( {} & ) & )", "{} & disown"]).format(command)

    def _command(self, depth: int) -> str:
        kinds: list[Callable[[int], str]] = [self._leaf]
        if depth > 0:
            kinds += [
                self._leaf,
                self._shell,
                self._job_control,
                self._pipeline,
                self._timeout,
                self._trapping,
                self._stopped,
            ]
        return self._rng.choice(kinds)(depth - 1)

    def _leaf(self, _depth: int) -> str:
        programs = [_HOPPER, _MOVER, _GROUP_WITHOUT_LEADER, _DAEMON, _DEAF, _BREEDER, _ZOMBIES]
        if self._rng.random() < 0.35:
            return f"sleep {_SECONDS}"
        if self._rng.random() < 0.2:
            return _sh("for i in $(seq 900); do sleep 0.1; echo $i; done")
        return f"perl -e {shlex.quote(self._rng.choice(programs))}"

    def _shell(self, depth: int) -> str:
        body = "\n".join(self._statement(depth) for _ in range(self._rng.randint(1, 3)))
        return _sh(
            f"{body}\n{self._rng.choice(['wait', 'exit', 'sleep 90'])}", self._rng.choice(["sh", "bash"])
        )

    def _job_control(self, depth: int) -> str:
        return _sh(f"set -m\n{self._command(depth)} &\n{self._command(depth)} &\nwait", "bash")

    def _pipeline(self, depth: int) -> str:
        return f"{self._command(depth)} | {self._rng.choice(['cat', 'tee /dev/null', self._command(depth)])}"

    def _timeout(self, depth: int) -> str:
        options = self._rng.choice(["", "--foreground ", "-s INT ", "-k 1 "])
        return f"timeout {options}{_SECONDS} {_sh(self._command(depth))}"

    def _trapping(self, depth: int) -> str:
        return _sh(f"{self._trap()}\n{self._command(depth)} &\nwhile :; do wait; sleep 1; done")

    def _stopped(self, depth: int) -> str:
        return _sh(f"{self._command(depth)} &\nkill -STOP {self._rng.choice(['$$', '$!'])}\nwait", "bash")

    def _trap(self) -> str:
        signals = " ".join(self._rng.sample(["INT", "TERM", "HUP", "QUIT"], self._rng.randint(1, 4)))
        return self._rng.choice(
            [f"trap '' {signals}", f"trap 'echo caught' {signals}", f"trap 'exit 0' {signals}"]
        )


def _sh(body: str, shell: str = "sh") -> str:
    return f"{shell} -c {shlex.quote(body)}"
