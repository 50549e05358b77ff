"""Where kept jobs are: a private directory a job below the user's state folder, and a socket for each.

`$XDG_STATE_HOME/ipyproc/jobs/ID`, by default below ``~/.local/state``. The socket is in it, too, unless its
path is longer than the system allows, or the file system has no sockets, as some of a network; it is then in
`$XDG_RUNTIME_DIR`, or else in the directory for temporary files, in a directory of this user's alone.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from contextlib import suppress

from ipyproc.errors import JobStateError
from ipyproc.hosts.wire.address import LONGEST_PATH

__all__ = ["Place", "all_places", "jobs_directory", "new_place", "place_of", "remove"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")
_NAME_BYTES = 40
_SOCKET = "host"
_ELSEWHERE = "socket"
_BELL_BYTES = len(".bell")


class Place:
    """The directory of one kept job.

    Args:
        path: of the directory.

    Attributes:
        path: likewise.
    """

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Place {self.path!r}>"

    @property
    def id(self) -> str:
        """What the job is found by."""
        return os.path.basename(self.path)

    def file(self, name: str) -> str:
        """Return the path of a file in it."""
        return os.path.join(self.path, name)

    @property
    def socket(self) -> str:
        """The path of the socket, which may be elsewhere."""
        with suppress(OSError), open(self.file(_ELSEWHERE), encoding="utf-8") as file:
            return file.read()
        return self.file(_SOCKET)

    @property
    def is_there(self) -> bool:
        """Whether the directory exists."""
        return os.path.isdir(self.path)

    def choose_socket(self) -> None:
        """Find where a socket can be, and note that where it is not in the directory.

        Raises:
            OSError: it can be nowhere.
        """
        if _takes_sockets(self.path):
            return
        below = _private_below(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        path = os.path.join(below, self.id[-24:])
        with open(self.file(_ELSEWHERE), "w", encoding="utf-8") as file:
            file.write(path)


def jobs_directory() -> str:
    """Return the path of the directory of all kept jobs, which need not exist."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(os.path.abspath(state), "ipyproc", "jobs")


def new_place(name: str) -> Place:
    """Make the directory of a new job.

    Args:
        name: the job's, by which people recognise it.

    Raises:
        PermissionError: others have access to the directory of all jobs.
        OSError: it cannot be made.
    """
    jobs = jobs_directory()
    os.makedirs(os.path.dirname(jobs), 0o700, exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(jobs, 0o700)
    need_private(jobs)
    shown = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:_NAME_BYTES] or "job"
    place = Place(os.path.join(jobs, f"{shown}-{secrets.token_hex(4)}"))
    os.mkdir(place.path, 0o700)
    try:
        place.choose_socket()
    except BaseException:
        remove(place)
        raise
    return place


def place_of(id: str) -> Place:
    """Return the directory of a job by its id.

    Raises:
        JobStateError: there is no such job.
        PermissionError: others have access to it.
    """
    jobs = jobs_directory()
    place = Place(os.path.join(jobs, id))
    if not _ID.fullmatch(id) or not place.is_there:
        raise JobStateError(
            f"There is no kept job {id[:80]!r} below {jobs!r}; 'ipyproc ls' lists those there are."
        )
    need_private(jobs)
    need_private(place.path)
    return place


def all_places() -> list[Place]:
    """Return the directories of all kept jobs, the oldest first; those of others are left out.

    Raises:
        PermissionError: others have access to the directory of all jobs.
    """
    jobs = jobs_directory()
    if not os.path.isdir(jobs):
        return []
    need_private(jobs)
    found: list[tuple[float, Place]] = []
    for name in os.listdir(jobs):
        place = Place(os.path.join(jobs, name))
        if _ID.fullmatch(name) and _is_private(place.path):
            with suppress(OSError):
                found.append((os.stat(place.path).st_ctime, place))
    return [place for _, place in sorted(found, key=lambda one: (one[0], one[1].id))]


def remove(place: Place) -> None:
    """Remove a job's directory, and all of the job that is in it; its holder is gone."""
    socket_path = place.socket
    names = os.listdir(place.path) if place.is_there else []
    # Last what it is found by: what is left by somebody who was killed meanwhile is found again.
    for name in sorted(names, key=lambda name: name == "record.json"):
        with suppress(OSError):
            if os.path.isdir(path := place.file(name)) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
    with suppress(OSError):
        os.unlink(socket_path)
    with suppress(OSError):
        os.rmdir(place.path)


def need_private(directory: str) -> None:
    """See to it that a directory is this user's alone.

    Raises:
        PermissionError: it is another's, or others have access to it.
        OSError: it does not exist.
    """
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode):
        what = "is not a directory"
    elif status.st_uid != os.geteuid():
        what = f"belongs to the user {status.st_uid}, and this process to {os.geteuid()}"
    elif status.st_mode & 0o077:
        what = f"has the mode {status.st_mode & 0o777:04o}, so that others have access to it"
    else:
        return
    raise PermissionError(
        f"The directory {directory!r} of kept jobs {what}; remove it, run 'chmod 700' on it, or set "
        "XDG_STATE_HOME to another."
    )


def _is_private(directory: str) -> bool:
    try:
        need_private(directory)
    except OSError:
        return False
    return True


def _private_below(directory: str) -> str:
    path = os.path.join(directory, f"ipyproc-{os.geteuid()}")
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    need_private(path)
    return path


def _takes_sockets(directory: str) -> bool:
    path = os.path.join(directory, _SOCKET)
    if len(os.fsencode(path)) > LONGEST_PATH - _BELL_BYTES:
        return False
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.bind(path)
        except OSError:
            return False
    os.unlink(path)
    return True
