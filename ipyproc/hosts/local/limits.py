"""The user and the limits of a job, as this machine has them: accounts, CPUs, niceness."""

from __future__ import annotations

import os
import pwd
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from ipyproc.errors import JobSpecError
from ipyproc.model.limits import NICEST, Limits, is_whole

__all__ = ["account_ids", "need_limits", "popen_arguments", "under", "user_environment"]

Started = TypeVar("Started")


def need_limits(limits: Limits) -> None:
    """Raise unless this machine has the user and the CPUs, and this process may start jobs as the user.

    Raises:
        JobSpecError: the user or a CPU does not exist, or only root may start a job as that user.
    """
    if limits.affinity is not None:
        _need_cpus(limits.affinity)
    if limits.user is not None and os.geteuid() not in (0, _account(limits.user).pw_uid):
        raise JobSpecError(
            f"Only root may start a job as the user {limits.user!r}; leave the user out, "
            "or run 'sudo -u' in the job."
        )


def popen_arguments(limits: Limits) -> dict[str, object]:
    """Return the arguments of `subprocess.Popen` for the user and the umask.

    Raises:
        JobSpecError: no such user exists.
    """
    arguments: dict[str, object] = {} if limits.umask is None else {"umask": limits.umask}
    if (ids := account_ids(limits)) is not None:
        arguments["user"], arguments["group"], arguments["extra_groups"] = ids
    return arguments


def account_ids(limits: Limits) -> tuple[int, int, list[int]] | None:
    """Return the user, the group and the further groups that a process has to take on; None for no change.

    Raises:
        JobSpecError: no such user exists.
    """
    if limits.user is None or os.geteuid() != 0:
        return None
    account = _account(limits.user)
    return account.pw_uid, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


def user_environment(limits: Limits) -> dict[str, str]:
    """Return the environment variables of the user; empty if none was given.

    Raises:
        JobSpecError: no such user exists.
    """
    if limits.user is None:
        return {}
    account = _account(limits.user)
    return {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}


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
        os.setpriority(os.PRIO_PROCESS, thread, min(before + limits.nice, NICEST))


def _then_niced(limits: Limits, start: Callable[[], Started]) -> Started:
    started = start()
    pid: int = started.pid  # type: ignore[attr-defined]
    before = os.getpriority(os.PRIO_PROCESS, pid)
    os.setpriority(os.PRIO_PROCESS, pid, min(before + (limits.nice or 0), NICEST))
    return started


def _account(user: str | int) -> pwd.struct_passwd:
    try:
        if not isinstance(user, str):
            return pwd.getpwuid(user)
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, ValueError, OverflowError):
        raise JobSpecError(f"There is no user {user!r}; give the name or the number of one.") from None


def _need_cpus(cpus: frozenset[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise JobSpecError(
            f"The CPUs {_listed(cpus)} were given, but the platform "
            f"{sys.platform!r} does not support CPU affinity; leave them out."
        )
    if not cpus or not all(map(is_whole, cpus)) or not cpus <= set(range(os.cpu_count() or 1)):
        raise JobSpecError(
            f"The CPUs {_listed(cpus)} do not all exist; give some of 0 to {(os.cpu_count() or 1) - 1}."
        )


def _listed(cpus: frozenset[int]) -> str:
    return ", ".join(map(repr, sorted(cpus, key=repr))) or "(none)"
