"""What cannot be run in workers is said in a sentence, before anything is forked."""

from __future__ import annotations

import threading

import pytest

from ipyproc.errors import WorkerCodeError
from ipyproc.job.source import fork_line, pickled


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("print(1)", 0),
        ("a = 1\nfork_processes()\nb = 2", 1),
        ("a = 1\n\nnumber = fork_processes()", 2),
        ("import tornado.process as p\np.fork_processes()", 1),
        ("def f():\n    fork_processes()\nawait g()", 0),
    ],
)
def test_the_fork_is_where_the_code_says_so(source: str, line: int) -> None:
    assert fork_line(source, 2) == line


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "There is no code for the workers"),
        (" \n", "There is no code for the workers"),
        ("a = 1\nif b\n", "Line 3 of the cell is not valid Python .*: 'if b'; nothing was forked"),
        ("a\0", "nothing was forked"),
        (
            "fork_processes(4)",
            "Line 2 of the cell calls fork_processes with arguments; write fork_processes()",
        ),
        ("fork_processes()\nfork_processes()", "may stand in the cell once"),
        ("a = 1; fork_processes()", "on a line of its own"),
    ],
)
def test_what_cannot_be_is_said_with_its_line(source: str, sentence: str) -> None:
    with pytest.raises(WorkerCodeError, match=sentence) as caught:
        fork_line(source, 2)
    assert "\n" not in str(caught.value)


def test_a_variable_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(WorkerCodeError, match="no variable 'c' to push"):
        pickled(["a", "c"], {"a": 1})
    with pytest.raises(WorkerCodeError, match=r"'lock' \(lock\) could not be pickled for another process"):
        pickled(["a", "lock"], {"a": 1, "lock": threading.Lock()})
    assert pickled([], {}) == b""
