"""Start a process for a job's spec."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from tornado.ioloop import IOLoop

from ipyproc.hosts.local.environment import environment_of
from ipyproc.hosts.local.limits import account_ids, popen_arguments, under, user_environment
from ipyproc.hosts.local.shell import Launch, explain_exit, launch_of, nameless_file
from ipyproc.hosts.local.terminal import Gate, instructions, interrupts_blocked, paths_of
from ipyproc.model.spec import JobSpec
from ipyproc.model.text import encoded, native
from ipyproc.process import Subprocess
from ipyproc.process.terminal_popen import TerminalPopen

__all__ = ["note_of_exit", "start_process"]

# Linux: MAX_ARG_STRLEN, the NUL at the end included.
_ELF = b"\x7fELF"
_LONGEST_STRING = 32 * os.sysconf("SC_PAGE_SIZE")


def start_process(
    spec: JobSpec,
    io_loop: IOLoop,
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    pass_fds: Sequence[int] = (),
    arguments: Sequence[str] = (),
    gate: Gate | None = None,
) -> Subprocess:
    """Start a process of a job, which leads a session of its own; any thread may call it.

    If the spec has a terminal, ``stdout`` becomes its controlling one. With a gate, the process waits before
    that, and the program runs once the caller has opened the gate, which raises what keeps the program from
    running.

    Args:
        spec: what runs, and how.
        io_loop: the loop that sees its exit.
        stdin: the fd for its standard input.
        stdout: the fd for its standard output.
        stderr: the fd for its standard error.
        pass_fds: further fds that it inherits.
        arguments: arguments that follow those of the spec.
        gate: where it waits until it may run; None if it runs at once.

    Raises:
        OSError: it could not be started; nothing is left of it.
        JobSpecError: its shell does not support the options of the spec.
    """
    environment = environment_of(
        {**user_environment(spec.limits), **spec.env},
        clean=spec.clean_env,
        kernel_path=spec.kernel_path,
        terminal=spec.tty,
    )
    launch = launch_of(spec.command, spec.shell, environment, terminal=spec.tty)
    limits = spec.limits
    # The file of a script has no name, and is removed with its last reader.
    with ExitStack() as opened, _explained(spec, launch, environment):
        argv, fds = launch.argv, (*pass_fds,)
        if launch.script is not None:
            script = opened.enter_context(nameless_file(launch.script))
            argv, fds = (*argv, f"/dev/fd/{script}"), (*fds, script)
        words = [native(word) for word in (*argv, *arguments)]
        executable = None if launch.executable is None else native(launch.executable)
        if spec.tty and gate is None:
            popen = partial(
                TerminalPopen,
                [os.fsencode(word) for word in words],
                paths_of(words, executable, environment.get(b"PATH")),
                environment,
                program=executable or words[0],
                slave=stdout,
                stdin=stdin,
                pass_fds=fds,
            )
            return under(limits, lambda: Subprocess.of(io_loop, popen))
        if gate is not None:
            is_sure = _is_sure(spec, launch, environment)
            explained = partial(_explained, spec, launch, environment)
            gate.set_program(executable or words[0], explained, is_sure=is_sure)
            user, mask = account_ids(limits), opened.enter_context(interrupts_blocked())
            told = instructions(words, executable, environment, user, mask=mask, is_sure=is_sure)
            what = opened.enter_context(nameless_file(told))
            words, executable = list(gate.command(what)), None
            # Its Python is one that the other user may not be able to read.
            limits, fds = replace(limits, user=None), (*fds, *gate.fds, what)
        return under(
            spec.limits,
            lambda: Subprocess.on(
                io_loop,
                words,
                executable=executable,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=None if spec.cwd is None else native(spec.cwd),
                env=environment if gate is None else None,
                start_new_session=True,
                pass_fds=fds,
                **popen_arguments(limits),
            ),
        )


def note_of_exit(spec: JobSpec, status: int) -> str:
    """Return a remark on the exit status of a job's shell; empty for most."""
    if status not in (126, 127):
        return ""
    environment = environment_of(spec.env, clean=spec.clean_env, kernel_path=spec.kernel_path)
    return explain_exit(spec.command, spec.shell, status, environment, spec.cwd)


@contextmanager
def _explained(spec: JobSpec, launch: Launch, environment: Mapping[bytes, bytes]) -> Iterator[None]:
    """Replace an error of the system by one with a sentence, if the spec has the reason."""
    try:
        yield
    except OSError as error:
        sentence = ""
        if error.errno == errno.E2BIG:
            sentence = _too_long(launch, environment)
        elif (
            error.errno in (errno.EPERM, errno.EACCES)
            and spec.limits.nice is not None
            and spec.limits.nice < 0
        ):
            sentence = f"This kernel may not make a job less nice ({spec.limits.nice}); give 0 to 19."
        elif error.errno == errno.EPERM and spec.limits.user is not None:
            sentence = (
                f"This kernel may not start a job as the user {spec.limits.user!r}; leave the user out."
            )
        elif error.errno == errno.EINVAL and spec.limits.affinity is not None:
            cpus = ", ".join(map(str, sorted(spec.limits.affinity)))
            sentence = f"This kernel may use none of the CPUs {cpus}; give some that 'taskset -p $$' shows."
        if not sentence:
            raise
        raise OSError(error.errno, sentence) from None


def _is_sure(spec: JobSpec, launch: Launch, environment: Mapping[bytes, bytes]) -> bool:
    """Return True if a command's shell can certainly be executed: it is a program, and all of it is short."""
    if not isinstance(spec.command, str) or launch.executable is None or spec.limits.user is not None:
        return False
    size = sum(len(name) + len(value) + 2 for name, value in environment.items())
    size += sum(len(encoded(word)) + 1 for word in launch.argv)
    if size >= _LONGEST_STRING or not os.access(launch.executable, os.X_OK):
        return False
    try:
        with open(launch.executable, "rb", 0) as file:
            return file.read(len(_ELF)) == _ELF
    except OSError:
        return False


def _too_long(launch: Launch, environment: Mapping[bytes, bytes]) -> str:
    """Return a sentence on the string that is too long for the system, or on the length of all together."""
    variables = {
        name.decode("utf-8", "replace"): len(name) + len(value) + 2 for name, value in environment.items()
    }
    words = [len(encoded(word)) + 1 for word in launch.argv]
    if sys.platform.startswith("linux"):
        for name, size in variables.items():
            if size > _LONGEST_STRING:
                return (
                    f"The environment variable {name!r} has {size - 1:,} bytes, but the system allows "
                    f"at most {_LONGEST_STRING - 1:,} in one; put its value into a file."
                )
        for number, size in enumerate(words):
            if size > _LONGEST_STRING:
                return (
                    f"The argument {number} of the command has {size - 1:,} bytes, but the system allows "
                    f"at most {_LONGEST_STRING - 1:,} in one; put it into a file."
                )
    total = sum(words) + sum(variables.values())
    return (
        f"The command and its environment have {total:,} bytes, which is more than the system allows; "
        "put long arguments into a file."
    )
