"""Check code for workers, and pickle their variables, before anything is forked."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from ipyproc.errors import WorkerCodeError
from ipyproc.hosts.helper.wire import START_LIMIT

__all__ = ["fork_line", "no_python", "pickled"]


def fork_line(source: str, first_line: int) -> int:
    """Return the line of ``source``, from 0, before which to fork the workers; 0 if it names none.

    A statement ``fork_processes()``, or ``number = fork_processes()``, at the top level of the code names
    the line: the code above it runs once, in the helper.

    Args:
        source: the code.
        first_line: the number of its first line in the cell, from 1.

    Raises:
        WorkerCodeError: the code is empty, is not valid Python, calls ``fork_processes`` with arguments or
            more than once, or does so on a line with other code.
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
            "fork_processes() may stand in the cell once, on a line of its own: "
            "code above it runs once, code below it runs in each worker."
        )
    return fork_at - 1


def no_python(error: SyntaxError | ValueError, first_line: int | None) -> WorkerCodeError:
    """Return an error for code that could not be compiled.

    Args:
        error: the error of `compile`.
        first_line: the number of the code's first line in the cell, from 1; None if it is not in a cell.
    """
    if not isinstance(error, SyntaxError):
        return WorkerCodeError(f"The code is not valid Python ({error}); nothing was forked.")
    line = f": {error.text.strip()!r}" if error.text else ""
    at = "The line" if first_line is None else f"Line {(error.lineno or 1) + first_line - 1} of the cell"
    return WorkerCodeError(f"{at} is not valid Python ({error.msg}){line}; nothing was forked.")


def pickled(names: Iterable[str], namespace: Mapping[str, object]) -> bytes:
    """Pickle variables for the workers by cloudpickle, with functions and classes of the notebook.

    Raises:
        WorkerCodeError: a variable does not exist, or could not be pickled, or all are too large.
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
                f"The variable {name!r} ({type(namespace[name]).__name__}) could not be pickled for another "
                f"process ({error}); make it in the cell itself."
            ) from None
    if len(wanted) > 1:
        # Pickled together, so that an object that two of them share stays one object.
        data = cloudpickle.dumps({name: namespace[name] for name in wanted})
    if len(data) > START_LIMIT // 2:
        raise WorkerCodeError(
            f"The pushed variables are {len(data):,} bytes, but at most {START_LIMIT // 2:,} are allowed; "
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
