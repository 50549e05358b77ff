"""The marks of workers are coloured by the view of their group; its bytes are plain."""

from __future__ import annotations

from ipyproc.job.fork import fork
from ipyproc.job.table import JobTable
from ipyproc.views.marks import with_coloured_marks
from tests.jobs.looped import looped


def test_marks_are_coloured_at_the_beginning_of_lines_alone() -> None:
    ((name, painted),) = with_coloured_marks([("stderr", b"[0] a [1] b\n[1] c")], b"\n")
    assert name == "stderr"
    assert painted == b"\x1b[36m[0]\x1b[0m a [1] b\n\x1b[35m[1]\x1b[0m c"
    assert with_coloured_marks([("stdout", b"[0] a")], b"x") == [("stdout", b"[0] a")]


def test_a_line_that_goes_on_in_the_next_stretch_has_no_mark_there() -> None:
    painted = with_coloured_marks([("stdout", b"a "), ("stderr", b"[0] b\n"), ("stdout", b"[1] c")], b"")
    assert [data for _, data in painted] == [b"a ", b"[0] b\n", b"\x1b[35m[1]\x1b[0m c"]


@looped
async def test_the_runs_of_a_group_are_the_plain_bytes_of_its_output(table: JobTable) -> None:
    group = fork("print('one')", 1, name="pool", table=table)
    await group
    assert b"".join(data for _, data in group.runs(0, group.size)) == group.read() == b"[0] one\n"
