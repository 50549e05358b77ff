"""Whether a command can be started, found out before it is."""

from __future__ import annotations

import errno
import os
import re
import shutil

__all__ = ["check", "explain_start_error"]

# POSIX.1-2017, Shell & Utilities, 2.4 (reserved words), 2.14 (special built-ins) and 1.6 (built-ins)
_SHELL_WORDS = frozenset(
    (
        *(
            ".",
            ":",
            "[",
            "alias",
            "bg",
            "break",
            "case",
            "cd",
            "command",
            "continue",
            "declare",
            "do",
            "echo",
        ),
        *("eval", "exec", "exit", "export", "false", "fc", "fg", "for", "function", "getopts", "hash", "if"),
        *("jobs", "kill", "let", "local", "newgrp", "printf", "pwd", "read", "readonly", "return", "select"),
        *("set", "shift", "source", "test", "time", "times", "trap", "true", "type", "ulimit", "umask"),
        *("unalias", "unset", "until", "wait", "while"),
    )
)


def check(command: str | tuple[str, ...], cwd: str | None, search: str | None) -> None:
    """Finds out whether a shell command's program is there.

    A shell would say so on its standard error, and exit with 127 or 126. Only a single line that
    begins with a plain word is looked at; everything else is the shell's business.

    Args:
        command: what is to be started.
        cwd: its working directory.
        search: the folders in which programs are looked for, as in ``PATH``.

    Raises:
        FileNotFoundError: the program does not exist.
        PermissionError: it may not be executed, or is a directory.
    """
    if not isinstance(command, str) or "\n" in command.strip():
        return
    match = re.match(r"\s*([\w./+@-]+)(?=\s|$|[;&|<>])", command)
    if not match or match[1] in _SHELL_WORDS or re.match(r"\s*\w+\s*\(", command):
        return
    word = match[1]
    if "/" not in word:
        if shutil.which(word, path=search) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), word)
        return
    path = os.path.join(cwd or os.curdir, word)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), word)
    if os.path.isdir(path) or not os.access(path, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), word)


def explain_start_error(error: OSError, command: str | list[str]) -> str:
    """One sentence for a command that could not be started."""
    program = error.filename if isinstance(error.filename, str) else str(command)
    if error.errno == errno.EACCES and os.path.isdir(program):
        return f"The program {program!r} is a directory; name a program in it."
    sentences = {
        errno.ENOENT: f"The program {program!r} was not found; check its spelling and the PATH.",
        errno.EACCES: f"The program {program!r} may not be executed; make it executable with chmod +x.",
        errno.ENOEXEC: f"The system cannot run {program!r}; begin it with a line such as #!/bin/sh.",
        errno.E2BIG: "The command is longer than the system allows; put it into a file, and run that.",
        errno.EMFILE: "No more files may be opened, so the job was not started; end other jobs first.",
        errno.ENFILE: "No more files may be opened, so the job was not started; end other jobs first.",
        errno.EAGAIN: "The system has no room for one more process; end other jobs first.",
        errno.ENOMEM: "The system has no memory for one more process; end other jobs first.",
    }
    return sentences.get(
        error.errno or 0,
        f"The program {program!r} could not be started ({error.strerror or error}); try it in a terminal.",
    )
