"""Error sentences for commands that could not be started."""

from __future__ import annotations

import errno
import os

__all__ = ["explain_start_error"]


def explain_start_error(error: OSError, command: str | list[str]) -> str:
    """Return a sentence on why a command could not be started."""
    if error.errno is not None and error.strerror and error.strerror != os.strerror(error.errno):
        # The error already has its sentence.
        return error.strerror
    program = error.filename if isinstance(error.filename, str) else str(command)
    if error.errno == errno.EACCES and os.path.isdir(program):
        return f"The program {program!r} is a directory; name a program in it."
    sentences = {
        errno.ENOENT: f"The program {program!r} was not found; check its spelling and the PATH.",
        errno.EACCES: f"The program {program!r} may not be executed; make it executable with chmod +x.",
        errno.ENOEXEC: f"The system cannot run {program!r}; begin it with a line such as #!/bin/sh.",
        errno.EMFILE: "No more files may be opened, so the job was not started; end other jobs first.",
        errno.ENFILE: "No more files may be opened, so the job was not started; end other jobs first.",
        errno.EAGAIN: "The system has no room for one more process; end other jobs first.",
        errno.ENOMEM: "The system has no memory for one more process; end other jobs first.",
    }
    return sentences.get(
        error.errno or 0,
        f"The program {program!r} could not be started ({error.strerror or error}); try it in a terminal.",
    )
