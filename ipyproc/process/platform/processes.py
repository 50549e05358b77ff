"""The processes of the system: which there are, what is known of each, and a signal to one.

On Linux ``/proc`` lists them. Nothing else in the standard library does: elsewhere there is no `listing`
until somebody who has psutil hands one in (`list_by`).

Imports little, since the warden, a small program, does so too.
"""

from __future__ import annotations

import os

# Known to type checkers by its name: `typing` and `collections.abc` are slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "Listing",
    "Process",
    "catches",
    "handles",
    "has_group",
    "has_process",
    "list_by",
    "listing",
    "parent_of",
    "program_of",
    "signal_group",
    "signal_process",
    "start_time",
]

_MASKS = ("SigBlk", "SigIgn", "SigCgt")
_CAUGHT = ("SigCgt:",)


class Process:
    """What a look at a process has found.

    Attributes:
        parent: the pid of its parent; 0 where the system does not tell.
        group: its process group; 0 where the system does not tell.
        started: when it started, in units of the system's own; with the pid it names a process for good.
            0 where the system does not tell.
        zombie: whether it has exited and waits for its parent.
    """

    __slots__ = ("group", "parent", "started", "zombie")

    def __init__(self, parent: int = 0, group: int = 0, started: int = 0, zombie: bool = False) -> None:
        self.parent = parent
        self.group = group
        self.started = started
        self.zombie = zombie


class Listing:
    """What lists the processes of a system; a subclass for each way to do so."""

    def pids(self) -> Collection[int]:
        """Return the pid of every process there is.

        Raises:
            OSError: the system refuses the list now; no fd is left, for example.
        """
        raise NotImplementedError

    def look(self, pid: int) -> Process | None:
        """Return what is known of a process; None when it is gone.

        A `Process` of which nothing is known stands for one at which nobody may look.
        """
        raise NotImplementedError

    def program(self, pid: int) -> str:
        """Return the path of the file that a process executes; empty where the system does not tell."""
        raise NotImplementedError

    def handles(self, pid: int, signum: int) -> bool | None:
        """Return whether a process catches, ignores or blocks a signal, so that it is not ended by it.

        None where the system does not tell; False of a process that is gone.
        """
        return None

    def catches(self, pid: int, signum: int) -> bool | None:
        """Return whether a process has a handler for a signal; see `handles`."""
        return None

    def last_pid(self) -> int | None:
        """Return the number that was given out last; None where the system does not tell."""
        return None


def _is_in_masks(pid: int, signum: int, names: tuple[str, ...]) -> bool:
    """Return True if one of the signal masks of a process has a signal (`proc(5)`, status)."""
    try:
        with open(f"/proc/{pid}/status") as file:
            masks = [line.split(":", 1)[1] for line in file if line.startswith(names)]
    except OSError:
        return False
    bit = 1 << (signum - 1)
    return any(int(mask, 16) & bit for mask in masks)


class _Procfs(Listing):
    """Linux: `proc(5)`."""

    def pids(self) -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]

    def look(self, pid: int) -> Process | None:
        try:
            fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError:
            return Process()
        try:
            text = os.read(fd, 1024)
        except ProcessLookupError:
            return None
        finally:
            os.close(fd)
        # The second field is the program's name, which may hold blanks and parentheses.
        fields = text[text.rindex(b")") + 2 :].split()
        # A process whose first thread has ended looks like a zombie while its other threads live.
        zombie = fields[0] in (b"Z", b"X") and int(fields[17]) < 2
        return Process(int(fields[1]), int(fields[2]), int(fields[19]), zombie)

    def program(self, pid: int) -> str:
        try:
            return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        except OSError:
            return ""

    def handles(self, pid: int, signum: int) -> bool:
        return _is_in_masks(pid, signum, _MASKS)

    def catches(self, pid: int, signum: int) -> bool:
        return _is_in_masks(pid, signum, _CAUGHT)

    def last_pid(self) -> int | None:
        try:
            fd = os.open("/proc/sys/kernel/ns_last_pid", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return int(os.read(fd, 32))
        except (OSError, ValueError):
            return None
        finally:
            os.close(fd)


_listing: Listing | None = _Procfs() if os.path.exists("/proc/self/stat") else None


def listing() -> Listing | None:
    """Return what lists the processes of this system; None when nothing does."""
    return _listing


def list_by(given: Listing) -> None:
    """List processes by ``given`` from now on, where the system has no ``/proc`` of Linux's kind."""
    global _listing
    if _listing is None:
        _listing = given


def start_time(pid: int) -> int | None:
    """Return when a process started (`Process.started`); None when there is none.

    0 where the system does not tell.
    """
    if _listing is None:
        return 0
    process = _listing.look(pid)
    return None if process is None else process.started


def parent_of(pid: int) -> int:
    """Return the pid of a process's parent; 0 when there is none, or the system does not tell."""
    process = None if _listing is None else _listing.look(pid)
    return 0 if process is None else process.parent


def program_of(pid: int) -> str:
    """Return the path of the file that a process executes; empty where the system does not tell."""
    return "" if _listing is None else _listing.program(pid)


def handles(pid: int, signum: int) -> bool | None:
    """Return whether a process catches, ignores or blocks a signal, so that it is not ended by it.

    None where the system does not tell; False of a process that is gone.
    """
    return None if _listing is None else _listing.handles(pid, signum)


def catches(pid: int, signum: int) -> bool | None:
    """Return whether a process has a handler for a signal, which it may block at the moment.

    None where the system does not tell; False of a process that is gone.
    """
    return None if _listing is None else _listing.catches(pid, signum)


def signal_process(pid: int, signum: int) -> bool:
    """Signal a process; return False when there is none.

    One that may not be signalled, since it is somebody else's (setuid), counts as reached.
    """
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def signal_group(pgid: int, signum: int) -> bool:
    """Signal a process group; return False when nobody is in it, as `signal_process` does."""
    try:
        os.killpg(pgid, signum)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def has_process(pid: int) -> bool:
    """Return whether a process, a zombie perhaps, is still there."""
    return signal_process(pid, 0)


def has_group(pgid: int) -> bool:
    """Return whether any process of a process group, a zombie perhaps, is still there."""
    return signal_group(pgid, 0)
