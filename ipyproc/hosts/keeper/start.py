"""Starting a holder, from the kernel or from a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ipyproc.errors import JobSpecError
from ipyproc.hosts.keeper.ends import scope_command
from ipyproc.hosts.keeper.places import Place
from ipyproc.hosts.local.environment import environment_of
from ipyproc.model.spec import JobSpec
from ipyproc.model.text import native

__all__ = ["need_program", "start_holder"]

_HOME = str(Path(__file__).resolve().parents[3])
# Where Tornado is, which is not imported for that.
_TORNADO = find_spec("tornado")
_PACKAGES = str(Path(_TORNADO.origin).resolve().parents[1]) if _TORNADO and _TORNADO.origin else _HOME
# -I and -S: no module of the folder that the kernel works in, and no site-packages: paths say what is found.
_HOLDER = (
    f"import sys; sys.path.insert(0, {_HOME!r}); "
    "from ipyproc.hosts.keeper.holder_program import main; sys.exit(main(sys.argv[1:]))"
)
_RUNNER = (
    f"import sys; sys.path[:0] = {list(dict.fromkeys((_HOME, _PACKAGES)))!r}; "
    "from ipyproc.hosts.keeper.runner import main; main(sys.argv[1:])"
)
_HELD_ALREADY = 3
_LISTEN_SECONDS = 30.0


def start_holder(place: Place) -> None:
    """Start the holder of a job, and return when it listens: in about 20 ms.

    It leads a session of its own, and has this process's environment. Where the job has one, that stays.

    Raises:
        OSError: it cannot be started, for the reason that it has given.
    """
    if not sys.executable:
        raise OSError(
            "Python does not know its own program (sys.executable is empty), so nothing can be kept; "
            "start the job without keeping it."
        )
    command = [sys.executable, "-I", "-S", "-c", _HOLDER, place.path, place.socket, sys.executable, _RUNNER]
    done = _run([*(scope := scope_command(os.environ)), *command])
    if scope and done.returncode not in (0, _HELD_ALREADY):
        # A systemd that refuses is as good as none.
        done = _run(command)
    if done.returncode not in (0, _HELD_ALREADY):
        why = done.stdout.decode("utf-8", "replace").strip().rstrip(".") or f"status {done.returncode}"
        raise OSError(f"The holder of a kept job could not be started ({why}); start it without keeping it.")


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        timeout=_LISTEN_SECONDS,
        check=False,
    )


def need_program(spec: JobSpec) -> None:
    """See to it that the program of a list can be executed, as far as can be told without trying.

    Raises:
        FileNotFoundError: there is no such program.
        JobSpecError: the working directory does not exist.
    """
    if spec.cwd is not None and not os.path.isdir(native(spec.cwd)):
        raise JobSpecError(f"The working directory {spec.cwd!r} does not exist; create it, or give another.")
    if isinstance(spec.command, str):
        return
    program = native(spec.command[0])
    environment = environment_of(spec.env, clean=spec.clean_env, kernel_path=spec.kernel_path)
    path = os.fsdecode(environment.get(b"PATH", os.fsencode(os.defpath)))
    if os.path.dirname(program):
        found = os.path.exists(os.path.join(spec.cwd or "", os.fsdecode(program)))
    else:
        found = shutil.which(os.fsdecode(program), os.F_OK, path) is not None
    if not found:
        raise FileNotFoundError(2, os.strerror(2), spec.command[0])
