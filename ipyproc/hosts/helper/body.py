"""The code for workers: a part that runs once before the fork, and a part that each worker runs."""

from __future__ import annotations

import os
import sys

from ipyproc.process.bare import signal
from ipyproc.process.fds import flush_standard_streams

# Type checkers know this name; `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import CodeType, ModuleType
else:
    ModuleType = type(sys)

__all__ = ["Body", "Stopped", "die_by"]

_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, without the import
_COROUTINE = 0x80  # inspect.CO_COROUTINE
_FUTURES = 0x1FE0000  # every flag of __future__


class Stopped(SystemExit):
    """A signal asked this process to end; as a `SystemExit`, it passes through most code.

    Attributes:
        signum: the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class Body:
    """A cell's code, as a module ``__main__`` of its own.

    Args:
        source: the code.
        filename: its name in tracebacks.
        first_line: the number of its first line in the cell, from 1.
        fork_line: the line of ``source``, from 0, before which the workers are forked.

    Raises:
        SyntaxError: the code is not valid Python.
    """

    def __init__(self, source: str, filename: str, first_line: int, fork_line: int) -> None:
        self._filename = filename
        # Blank lines replace what is left out, so that every line keeps its number.
        lines = [""] * (first_line - 1) + source.split("\n")
        fork_at = fork_line + first_line - 1
        self._source = "\n".join(lines)
        self._setup = self._compiled("\n".join(lines[:fork_at]), 0)
        flags = self._setup.co_flags & _FUTURES | _TOP_LEVEL_AWAIT
        self._work = self._compiled("\n" * fork_at + "\n".join(lines[fork_at:]), flags)
        self._module = ModuleType("__main__")
        # Tracebacks and `inspect` find the lines through the loader, which costs nothing until then.
        self._module.__loader__ = self  # type: ignore[assignment]

    def get_source(self, _name: str) -> str:
        """Return the code, for `linecache`."""
        return self._source

    def enter(self, names: dict[str, object]) -> None:
        """Add names to the module and make it the program's ``__main__``."""
        self._module.__dict__.update(names)
        sys.modules["__main__"] = self._module

    def set_up(self) -> int:
        """Run the part before the fork; return its exit status, 0 to go on."""
        return self._run(self._setup)

    def work(self) -> int:
        """Run the part after the fork, in a worker; return its exit status."""
        return self._run(self._work)

    def _compiled(self, source: str, flags: int) -> CodeType:
        code: CodeType = compile(source, self._filename, "exec", flags, dont_inherit=True)
        return code

    def _run(self, code: CodeType) -> int:
        coroutine = None
        try:
            if code.co_flags & _COROUTINE:
                import asyncio
            coroutine = eval(code, self._module.__dict__)
            if code.co_flags & _COROUTINE:
                asyncio.run(coroutine)
        except KeyboardInterrupt:
            raise Stopped(signal.SIGINT) from None
        except SystemExit:
            raise
        except BaseException as error:
            self._show(error)
            return 1
        finally:
            # A signal may have kept the coroutine from running; unclosed, Python would warn of it.
            if coroutine is not None:
                coroutine.close()
        return 0

    def _show(self, error: BaseException) -> None:
        """Print a traceback that begins in the cell."""
        trace = error.__traceback__
        while trace and trace.tb_next and trace.tb_frame.f_code.co_filename != self._filename:
            trace = trace.tb_next
        hook = sys.excepthook
        if hook is sys.__excepthook__:
            # Before Python 3.13 the default hook looks for the lines in a file.
            from traceback import print_exception as hook
        hook(type(error), error, trace)


def die_by(signum: int) -> None:
    """End this process by a signal, so that its exit status names the signal."""
    flush_standard_streams()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
