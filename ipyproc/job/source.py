"""Code for workers, looked at before anything is forked."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from ipyproc.errors import WorkerCodeError
from ipyproc.hosts.helper.wire import START_LIMIT

__all__ = ["fork_line", "no_python", "pickled"]


def fork_line(source: str, first_line: int) -> int:
    """The line of ``source``, from 0, before which the workers are forked: 0 unless it says so itself.

    A statement ``fork_processes()``, or ``number = fork_processes()``, at the code's top level says
    so: what stands above it runs once, in the helper.

    Args:
        source: the code.
        first_line: the number of its first line in the cell, from 1.

    Raises:
        WorkerCodeError: it is empty, or no Python, or calls ``fork_processes`` in a way that cannot be.
    """
    if not source.strip():
        raise WorkerCodeError("There is no code for the workers; put it into the cell's body.")
    try:
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(source, "<workers>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise no_python(error, first_line) from None
    statements: list[ast.stmt] = tree.body
    found = [(at, call) for at, call in enumerate(map(_fork_call, statements)) if call is not None]
    if not found:
        return 0
    at, call = found[0]
    if call.args or call.keywords:
        raise WorkerCodeError(
            f"Line {call.lineno + first_line - 1} of the cell calls fork_processes with arguments; "
            "write fork_processes(), since -n and --max-restarts say how many."
        )
    fork_at: int = statements[at].lineno
    if len(found) > 1 or (at and statements[at - 1].end_lineno == fork_at):
        raise WorkerCodeError(
            "fork_processes() can stand in the cell once, on a line of its own: "
            "what is above it runs once, what is below it in each worker."
        )
    return fork_at - 1


def no_python(error: SyntaxError | ValueError, first_line: int | None) -> WorkerCodeError:
    """What to say of code that cannot be compiled.

    Args:
        error: what `compile` said.
        first_line: the number of the code's first line in the cell, from 1; None for what is no cell.
    """
    if not isinstance(error, SyntaxError):
        return WorkerCodeError(f"The code is no Python ({error}); nothing was forked.")
    line = f": {error.text.strip()!r}" if error.text else ""
    at = "The line" if first_line is None else f"Line {(error.lineno or 1) + first_line - 1} of the cell"
    return WorkerCodeError(f"{at} is no Python ({error.msg}){line}; nothing was forked.")


def pickled(names: Iterable[str], namespace: Mapping[str, object]) -> bytes:
    """Variables for the workers, by cloudpickle: functions and classes of the notebook go along.

    Raises:
        WorkerCodeError: a name is not there, or what it stands for cannot be sent.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return b""
    import cloudpickle

    missing = [name for name in wanted if name not in namespace]
    if missing:
        raise WorkerCodeError(
            f"There is no variable {missing[0]!r} to push; assign it in a cell first, or check its spelling."
        )
    for name in wanted:
        try:
            data: bytes = cloudpickle.dumps({name: namespace[name]})
        except Exception as error:
            raise WorkerCodeError(
                f"The variable {name!r} ({type(namespace[name]).__name__}) cannot be sent to another process "
                f"({error}); make it in the cell itself."
            ) from None
    if len(wanted) > 1:
        # Together, so that what two of them share is one object there too.
        data = cloudpickle.dumps({name: namespace[name] for name in wanted})
    if len(data) > START_LIMIT // 2:
        raise WorkerCodeError(
            f"The pushed variables are {len(data):,} bytes, and at most {START_LIMIT // 2:,} can be sent; "
            "put them into a file, and read that in the cell."
        )
    return data


def _fork_call(statement: ast.stmt) -> ast.Call | None:
    value = statement.value if isinstance(statement, (ast.Expr, ast.Assign, ast.AnnAssign)) else None
    if not isinstance(value, ast.Call):
        return None
    function = value.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return value if name == "fork_processes" else None
