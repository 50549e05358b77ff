"""Choose the shell or interpreter for a command, and pass the command to it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ipyproc.errors import JobSpecError
from ipyproc.model.shell import ShellChoice
from ipyproc.model.text import encoded
from ipyproc.model.words import BUILT_INS, SimpleCommand, simple_command

__all__ = ["Launch", "default_shell", "explain_exit", "launch_of", "nameless_file"]

_STANDARD = "/bin/sh"
# The shells of accounts that may not log in.
_NO_SHELLS = frozenset({"false", "nologin", "true"})
_POSIX = frozenset({"ash", "bash", "busybox", "dash", "ksh", "ksh93", "mksh", "sh", "yash", "zsh"})
_CSH = frozenset({"csh", "tcsh"})
_TAKING_C = _POSIX | _CSH | {"fish"}
_WITH_PIPEFAIL = frozenset({"bash", "busybox", "ksh", "ksh93", "mksh", "yash", "zsh"})
# These run a lone simple command as a child, unless it has an ``exec``.
_STAYING = frozenset({"ash", "busybox", "dash", "sh"})

# An operator that starts a list in the background; within quotes it does no harm to find one.
_BACKGROUND = re.compile(r"(?<![&|<>])&(?![&>])")
# When a session leader exits, the system sends SIGHUP to the foreground process group of its terminal, in
# which a shell without job control leaves what it has started in the background. So another group becomes
# the foreground one just before, and exits.
_STEPPING_ASIDE = (
    "import os, signal; signal.signal(signal.SIGTTOU, signal.SIG_IGN); os.setpgid(0, 0); "
    "os.tcsetpgrp(os.open('/dev/tty', os.O_RDWR), os.getpid())"
)

# Linux allows 128 KiB per argument, its NUL included.
_SHORT = 100_000
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


@dataclass(frozen=True)
class Launch:
    """What to execute for a command.

    Attributes:
        argv: the arguments, beginning with the program's name.
        executable: the path of the program; None if ``argv`` has it.
        script: the content of a file whose path is the last argument; None for no file. Each start has a
            file of its own, since on some systems all processes that open ``/dev/fd/N`` share one offset.
        exec_program: whether the process becomes the program that the command names, so that its pid, its
            signals and its exit status are those of the program; False if that is not certain.
    """

    argv: tuple[str, ...]
    executable: str | None = None
    script: bytes | None = None
    exec_program: bool = False


def default_shell(environ: Mapping[str, str] | None = None) -> str:
    """Return the user's shell: ``$SHELL`` if that is a program, otherwise ``/bin/sh``."""
    shell = (os.environ if environ is None else environ).get("SHELL", "")
    usable = shell.startswith("/") and os.path.basename(shell) not in _NO_SHELLS
    return shell if usable and os.path.isfile(shell) and os.access(shell, os.X_OK) else _STANDARD


def launch_of(
    command: str | tuple[str, ...],
    choice: ShellChoice,
    environment: Mapping[bytes, bytes],
    *,
    terminal: bool = False,
) -> Launch:
    """Return what to execute for a command.

    A list is executed directly. A string that begins with ``#!`` goes to that interpreter, with the rest of
    the line as one argument, as the system does it. Any other string goes to a shell. What a script of a
    POSIX shell leaves in the background is not hung up at its end, as in a terminal that stays open.

    Args:
        command: a string, or the arguments of a program.
        choice: the shell.
        environment: the environment of the job.
        terminal: whether it runs on a terminal.

    Raises:
        JobSpecError: the shell does not support the options, or the ``#!`` line is invalid.
    """
    if not isinstance(command, str):
        return Launch(command, exec_program=True)
    if command.startswith("#!") and choice.program is None:
        return _by_interpreter(command, choice)
    words = choice.words or [default_shell()]
    executable = _found(words[0], environment)
    name, family = os.path.basename(words[0]), _family(executable)
    options = [*words[1:], *_options(name, family, choice)]
    argv0 = f"-{name}" if choice.login and family in _CSH else name
    data = encoded(command)
    if family not in _TAKING_C or len(data) > _SHORT:
        return Launch((argv0, *options), executable, script=data)
    # These shells read cmd &> file as two commands.
    simple = None if family in _STAYING and "&>" in command else simple_command(command)
    is_program = _is_program(simple, family, choice, environment)
    if is_program and simple is not None and _needs_exec(simple, family):
        command = f"{command[: simple.at]}exec {command[simple.at :]}"
    elif terminal and family in _POSIX and _BACKGROUND.search(command):
        command = f"{_trap_of_exit()}; {command}"
    return Launch((argv0, *options, "-c", command), executable, exec_program=is_program)


def explain_exit(
    command: str | tuple[str, ...],
    choice: ShellChoice,
    status: int,
    environment: Mapping[bytes, bytes],
    cwd: str | None = None,
) -> str:
    """Return why a shell exited with 127 or 126; an empty string if that is not certain.

    It is certain for a lone simple command whose program is not found from the job's own working directory
    and PATH, or whose file is not executable.

    Args:
        command: the command.
        choice: the shell that ran it.
        status: the exit status.
        environment: the environment of the job.
        cwd: the working directory of the job; None for the kernel's.
    """
    if status not in (_NOT_FOUND, _NOT_EXECUTABLE) or not isinstance(command, str) or choice.login:
        return ""
    simple = None if command.startswith("#!") else simple_command(command)
    if simple is None or not simple.program or "PATH" in simple.assigned:
        return ""
    program = simple.program
    if not simple.by_exec and (program in BUILT_INS or _is_function(program, environment)):
        return ""
    found = _candidates(program, environment, cwd)
    if any(_is_executable(path) for path in found):
        return ""
    if status == _NOT_FOUND and not any(map(os.path.exists, found)):
        return f"the program {program!r} was not found; check its spelling and the PATH"
    if any(map(os.path.isdir, found)):
        return f"the program {program!r} is a directory; name a program in it"
    if status == _NOT_EXECUTABLE and any(map(os.path.exists, found)):
        return f"the program {program!r} may not be executed; make it executable with chmod +x"
    return ""


def _trap_of_exit() -> str:
    """Return the command of a trap that spares background processes at the end of a script."""
    aside = shlex.join([sys.executable, "-I", "-S", "-c", _STEPPING_ASIDE])
    action = f'test -z "$!" || {aside} 2>/dev/null'
    return f"trap {shlex.quote(action)} EXIT"


def _by_interpreter(script: str, choice: ShellChoice) -> Launch:
    line = script.partition("\n")[0]
    words = line[2:].strip(" \t\r").split(None, 1)
    if not words:
        raise JobSpecError(
            f"The line {line!r} names no interpreter; write one such as #!/usr/bin/env python3."
        )
    if choice.is_given:
        raise JobSpecError(
            f"A login or strict shell was given, but the script is for {line!r}; "
            "write 'set -euo pipefail' into it, or give a shell."
        )
    return Launch(tuple(words), script=encoded(script))


def _options(name: str, family: str, choice: ShellChoice) -> list[str]:
    """Return the options for a login shell, and for a strict one."""
    if (choice.login and family not in _TAKING_C) or (choice.strict and family not in _POSIX):
        asked = "set -euo pipefail" if choice.strict else "login shells"
        raise JobSpecError(f"The shell {name!r} does not support {asked}; give another, such as 'bash'.")
    options = []
    if choice.login and family == "bash":
        # Without it, bash ignores the aliases of a profile, unlike other shells.
        options += ["-O", "expand_aliases"]
    if choice.login and family not in _CSH:
        options.append("-l")
    if choice.strict:
        options += ["-euo", "pipefail"] if family in _WITH_PIPEFAIL else ["-eu"]
    return options


def _found(shell: str, environment: Mapping[bytes, bytes]) -> str:
    """Return the path of a shell, found by the kernel's PATH, or else by the job's."""
    if "/" in shell:
        return os.path.abspath(os.path.expanduser(shell))
    found = shutil.which(shell) or shutil.which(shell, path=os.fsdecode(environment.get(b"PATH", b"")))
    # If it is not found, Popen raises the error.
    return os.path.abspath(found) if found else shell


def _family(executable: str) -> str:
    return os.path.basename(os.path.realpath(executable))


def _is_program(
    simple: SimpleCommand | None, family: str, choice: ShellChoice, environment: Mapping[bytes, bytes]
) -> bool:
    """Return True if a simple command certainly names a program, not a built-in, a function or an alias."""
    if simple is None or not simple.program or simple.program.startswith("-"):
        return False
    if simple.by_exec:
        return family in _POSIX
    if simple.program in BUILT_INS or choice.login or family not in {*_STAYING, "bash", "zsh"}:
        return False
    if family == "bash":
        return not _is_function(simple.program, environment)
    if family == "zsh":
        home = environment.get(b"ZDOTDIR") or environment.get(b"HOME", b"/")
        return not os.path.exists(os.path.join(home, b".zshenv"))
    return True


def _is_function(program: str, environment: Mapping[bytes, bytes]) -> bool:
    """Return True if bash may have a function of this name, exported to it or from a file that it reads."""
    name = encoded(program)
    return any(
        key in environment for key in (b"BASH_FUNC_%s%%%%" % name, b"BASH_FUNC_%s()" % name, b"BASH_ENV")
    )


def _needs_exec(simple: SimpleCommand, family: str) -> bool:
    # bash runs a redirected command as a child, in order to undo the redirection.
    return not simple.by_exec and (family in _STAYING or (family == "bash" and simple.redirected))


def _candidates(program: str, environment: Mapping[bytes, bytes], cwd: str | None) -> list[str]:
    """Return the paths that a program's name may mean, relative to the job's working directory."""
    folder = cwd or os.curdir
    if "/" in program:
        return [os.path.join(folder, program)]
    path = os.fsdecode(environment.get(b"PATH", encoded(os.defpath)))
    return [os.path.join(folder, part, program) for part in path.split(os.pathsep)]


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


@contextmanager
def nameless_file(data: bytes) -> Iterator[int]:
    """Return the fd of a file with these bytes, which has no name and is closed after the block."""
    in_memory = getattr(os, "memfd_create", None)
    with (
        tempfile.TemporaryFile("w+b", 0) if in_memory is None else open(in_memory("script"), "w+b", 0) as file
    ):
        # A process that changes its user must be able to read it.
        os.fchmod(file.fileno(), 0o644)
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        file.seek(0)
        yield file.fileno()
