"""The user and the limits of a job: niceness, umask, CPU affinity."""

from __future__ import annotations

import os
import pwd
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from ipyproc.errors import JobSpecError

__all__ = ["Limits", "cpus_of", "under"]

Started = TypeVar("Started")

_NICEST = 19


@dataclass(frozen=True)
class Limits:
    """The user and the limits of a job; None leaves each as the kernel has it.

    Attributes:
        nice: the increment to the kernel's niceness, from -20 to 19, as for ``nice -n``.
        user: the user, by name or number, whose groups and HOME the job gets too.
        umask: the permissions that its new files do not have, such as ``0o077``.
        affinity: the CPUs on which it may run.

    Raises:
        JobSpecError: a value is invalid, or the kernel may not set it.
    """

    nice: int | None = None
    user: str | int | None = None
    umask: int | None = None
    affinity: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if self.nice is not None and not (_is_whole(self.nice) and -20 <= self.nice <= _NICEST):
            raise JobSpecError(f"The niceness {self.nice!r} is invalid; give a whole number from -20 to 19.")
        if self.umask is not None and not (_is_whole(self.umask) and 0 <= self.umask <= 0o777):
            raise JobSpecError(
                f"The umask {self.umask!r} is invalid; give one from 0 to 0o777, such as 0o077."
            )
        if self.affinity is not None:
            _need_cpus(self.affinity)
        if self.user is not None:
            account = self.account
            if os.geteuid() not in (0, account.pw_uid):
                raise JobSpecError(
                    f"Only root may start a job as the user {self.user!r}; leave the user out, "
                    "or run 'sudo -u' in the job."
                )

    @property
    def account(self) -> pwd.struct_passwd:
        """The account of the user.

        Raises:
            JobSpecError: no such user exists.
        """
        user = self.user
        try:
            if _is_whole(user) or (isinstance(user, str) and user.isdecimal()):
                return pwd.getpwuid(int(user))  # type: ignore[arg-type]
            return pwd.getpwnam(user)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise JobSpecError(f"There is no user {user!r}; give the name or the number of one.") from None

    def popen_arguments(self) -> dict[str, object]:
        """Return the arguments of `subprocess.Popen` for the user and the umask."""
        arguments: dict[str, object] = {} if self.umask is None else {"umask": self.umask}
        if self.user is not None and os.geteuid() == 0:
            account = self.account
            arguments |= {
                "user": account.pw_uid,
                "group": account.pw_gid,
                "extra_groups": os.getgrouplist(account.pw_name, account.pw_gid),
            }
        return arguments

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the user; empty if none was given."""
        if self.user is None:
            return {}
        account = self.account
        return {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}


def cpus_of(given: Iterable[int] | None) -> frozenset[int] | None:
    """Return CPUs as `Limits` has them.

    Raises:
        JobSpecError: they are not iterable.
    """
    try:
        return None if given is None else frozenset(given)
    except TypeError:
        raise JobSpecError(f"The CPUs {given!r} are not a set of numbers; give some as {{0, 1}}.") from None


def under(limits: Limits, start: Callable[[], Started]) -> Started:
    """Call ``start`` so that the process it starts has these limits; return what ``start`` returns.

    On Linux niceness and affinity belong to a thread, and a child inherits those of the thread that forks
    it. A new thread sets them, starts the process and ends: the process has them from its first
    instruction, and the kernel keeps its own. Elsewhere niceness belongs to a process, and is set right
    after the start; a child that the process starts at once may miss it.

    Raises:
        PermissionError: the system does not allow this niceness.
        OSError: the kernel may use none of the CPUs, or ``start`` raised it.
    """
    if limits.nice is None and limits.affinity is None:
        return start()
    if not sys.platform.startswith("linux"):
        return _then_niced(limits, start)
    outcome: list[Started] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            _take_on(limits)
            outcome.append(start())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="ipyproc-start")
    thread.start()
    thread.join()
    if errors:
        try:
            raise errors[0]
        finally:
            # The traceback refers to this frame, which refers to the error: break the cycle.
            errors.clear()
    return outcome[0]


def _take_on(limits: Limits) -> None:
    if limits.affinity is not None:
        os.sched_setaffinity(0, limits.affinity)
    if limits.nice is not None:
        thread = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(before + limits.nice, _NICEST))


def _then_niced(limits: Limits, start: Callable[[], Started]) -> Started:
    started = start()
    pid: int = started.pid  # type: ignore[attr-defined]
    before = os.getpriority(os.PRIO_PROCESS, pid)
    os.setpriority(os.PRIO_PROCESS, pid, min(before + (limits.nice or 0), _NICEST))
    return started


def _need_cpus(cpus: frozenset[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise JobSpecError(
            f"The CPUs {_listed(cpus)} were given, but the platform "
            f"{sys.platform!r} does not support CPU affinity; leave them out."
        )
    if not cpus or not all(_is_whole(cpu) for cpu in cpus) or not cpus <= set(range(os.cpu_count() or 1)):
        raise JobSpecError(
            f"The CPUs {_listed(cpus)} do not all exist; give some of 0 to {(os.cpu_count() or 1) - 1}."
        )


def _listed(cpus: frozenset[int]) -> str:
    return ", ".join(map(repr, sorted(cpus, key=repr))) or "(none)"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
