"""Render snapshots by rich, and turn renderables into the forms that a cell can show. No IPython, no jobs."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from rich.color import ColorSystem
from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

from ipyproc import safe
from ipyproc.model.state import JobState, Snapshot, describe_status
from ipyproc.safe import SafeText, url_of
from ipyproc.views.columns import Column, fitted
from ipyproc.views.palette import AMBER, BLUE, GREEN, GREY, RED

if TYPE_CHECKING:
    from ipyproc.model.usage import Usage

__all__ = [
    *("bundle", "human_bytes", "human_rate", "human_seconds", "jobs_table", "status_line", "tail_block"),
    "what_is_not_shown",
]

# rich lays these out in columns, so a page must not fold their lines.
_LAID_OUT = (Table, Group)

_GLYPHS = {
    JobState.RUNNING: ("●", BLUE),
    JobState.STOPPING: ("◌", AMBER),
    JobState.BACKOFF: ("↻", AMBER),
    JobState.GAVE_UP: ("✗", RED),
}

_WITH_KERNEL = "ended with the kernel"
_PAST_KERNEL = "goes on without the kernel"

_PRE = (
    '<pre style="margin:0;padding:2px 6px;white-space:{wrap};word-break:normal;overflow-wrap:anywhere;'
    "overflow-x:auto;background:transparent;"
    "line-height:normal;font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);"
    'font-size:var(--jp-code-font-size,13px)">{code}</pre>'
)


def status_line(snapshot: Snapshot) -> RenderableType:
    """Return a job's status on one line: its command, its state, and its notes."""
    glyph, colour = _mark(snapshot)
    line = Text.assemble((f"{glyph} ", colour), no_wrap=False)
    if snapshot.name != snapshot.command.split(" ")[0].rsplit("/", 1)[-1]:
        line.append(f"{safe.line(snapshot.name)}: ", "bold")
    line.append(_shortened(safe.line(snapshot.command), 100), "bold")
    line.append("  ")
    line.append(_ending(snapshot), colour)
    parts = []
    over = snapshot.state.done or snapshot.ends_with_kernel
    if not over and snapshot.pid:
        parts.append(f"pid {snapshot.pid}")
    parts.append(human_seconds(snapshot.elapsed))
    if snapshot.restarts:
        parts.append(
            f"{snapshot.restarts} restart{'s' if snapshot.restarts > 1 else ''} of {snapshot.max_restarts}"
        )
    if snapshot.ready is not None and not over:
        parts.append("ready" if snapshot.ready else "not ready yet")
    if snapshot.is_kept and not over:
        parts.append("kept")
    line.append("".join(f" · {part}" for part in parts), GREY)
    if snapshot.left_running:
        line.append(f" · left {snapshot.left_running} running", AMBER)
    for note in snapshot.notes:
        line.append(f" · {safe.line(note)}", AMBER)
    return line


def tail_block(tail: SafeText, hidden: int, name: str, dropped: int) -> RenderableType:
    """Return the end of an output that a cell does not show in full, and a hint where to find the rest."""
    text = Text()
    kept = f"all but the oldest {human_bytes(dropped)}" if dropped else "all of it"
    where = f"ipyproc.jobs[{name!r}].output has {kept} (import ipyproc)"
    text.append(f"… {human_bytes(hidden)} not shown; {where} …\n", GREY)
    text.append_text(Text.from_ansi(tail.rstrip("\n")))
    return text


def jobs_table(
    snapshots: Sequence[Snapshot],
    usage: dict[int, tuple[float | None, Usage]],
    width: int,
    *,
    left_out: int = 0,
    forgotten: int = 0,
) -> Table:
    """Return the table of jobs; a narrow screen drops columns, not rows.

    Args:
        snapshots: one per job.
        usage: by pid, the CPU in percent of a core (None before it was measured twice) and the usage.
        width: the width of the screen in characters.
        left_out: the number of ended jobs that are not among them.
        forgotten: the number of ended jobs that the table of jobs has dropped.
    """
    table = fitted(_COLUMNS, [_row(snapshot, usage.get(snapshot.pid)) for snapshot in snapshots], width)
    if not snapshots:
        table.caption = Text("no jobs yet; %%spawn starts one", GREY)
    elif rest := what_is_not_shown(left_out, forgotten):
        table.caption = Text(rest, GREY)
    table.caption_justify = "left"
    return table


def what_is_not_shown(left_out: int, forgotten: int, running: int = 0) -> str:
    """Return what a table of jobs says of those that it does not show; empty if it shows all.

    Args:
        left_out: the number of ended jobs.
        forgotten: the number of ended jobs that the table of jobs has dropped.
        running: the number of jobs that run.
    """
    kinds = (running, "run"), (left_out, "have ended"), (forgotten, "were forgotten")
    parts = [f"{number:,} earlier ones that {do}" for number, do in kinds if number]
    return f"… and {' and '.join(parts)}" if parts else ""


def bundle(renderable: RenderableType, width: int) -> dict[str, SafeText]:
    """Return a renderable as HTML, as plain text, and as text with ANSI colours.

    Whatever the renderable contains, the page gets text, colours, and links to http and https only.
    """
    laid_out = isinstance(renderable, _LAID_OUT)
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        force_jupyter=False,
        legacy_windows=False,
        highlight=False,
    )
    segments: Iterable[Segment]
    if laid_out:
        # The page may fold a line to its width, but not a table.
        rows = console.render_lines(renderable, pad=False, new_lines=True)
        segments = [segment for row in rows for segment in row]
    else:
        segments = console.render(renderable, console.options.update(no_wrap=True, overflow="ignore"))
    # All markup for the page is written here: rich's own export passes any link on.
    parts = [
        (safe.lines(text), style or Style.null())
        for text, style, control in Segment.simplify(segments)
        if not control
    ]
    plain = "".join(text for text, _ in parts).rstrip("\n")
    return {
        "text/plain": SafeText("\n".join(row.rstrip() for row in plain.split("\n"))),
        "text/html": SafeText(_PRE.format(wrap="pre" if laid_out else "pre-wrap", code=_html(parts))),
        "text/ansi": SafeText("".join(_ansi(text, style) for text, style in parts).rstrip("\n")),
    }


def _html(parts: Iterable[tuple[SafeText, Style]]) -> str:
    return "".join(_html_part(escape(text), style) for text, style in parts).rstrip("\n")


def _html_part(text: str, style: Style) -> str:
    if style.link and (url := url_of(style.link)):
        text = f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{text}</a>'
    rule = escape(style.get_html_style(DEFAULT_TERMINAL_THEME))
    return f'<span style="{rule}">{text}</span>' if rule else text


def _ansi(text: str, style: Style) -> str:
    return style.update_link(None).render(text, color_system=ColorSystem.TRUECOLOR, legacy_windows=False)


def human_seconds(seconds: float) -> str:
    """Return a duration as text: ``4 ms``, ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 0.0995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def human_bytes(size: float) -> str:
    """Return a size as text in decimal units: ``512 B``, ``21.9 MB``."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def human_rate(number: float) -> str:
    """Return a rate as text: ``0.25``, ``61.3``, ``12,345``."""
    return f"{number:.3g}" if number < 100 else f"{number:,.0f}"


_COLUMNS = (
    Column("name", least=16),
    Column("pid", 5, number=True),
    Column("state"),
    Column("exit", 1),
    Column("restarts", 7, number=True),
    Column("uptime", 2, number=True),
    Column("CPU", 4, number=True),
    Column("memory", 3, number=True),
    Column("output", 6, number=True),
    Column("last line", 8, least=16),
)


def _row(snapshot: Snapshot, usage: tuple[float | None, Usage] | None) -> dict[str, Text]:
    glyph, colour = _mark(snapshot)
    state = "ready" if snapshot.ready and snapshot.state is JobState.RUNNING else snapshot.state.value
    if snapshot.ends_with_kernel:
        state = _at_kernels_end(snapshot)
    elif snapshot.left_running:
        state = f"left {snapshot.left_running} running"
    last = snapshot.exits[-1].status if snapshot.exits else None
    exit_colour = "" if not last else colour if snapshot.state.done else RED
    cpu = f"{usage[0]:.0f} %" if usage and usage[0] is not None else ""
    budget = "" if snapshot.max_restarts is None else f"{snapshot.restarts}/{snapshot.max_restarts}"
    seconds = snapshot.elapsed if snapshot.uptime is None else snapshot.uptime
    return {
        "name": Text(_shortened(safe.line(snapshot.name), 24), "bold"),
        "pid": Text(str(snapshot.pid)),
        "state": Text(f"{glyph} {state}", colour),
        "exit": Text("" if last is None else describe_status(last), exit_colour),
        "restarts": Text(budget),
        "uptime": Text(human_seconds(seconds)),
        "CPU": Text(cpu),
        "memory": Text(human_bytes(usage[1].rss) if usage and usage[1].rss else ""),
        "output": Text(human_bytes(snapshot.size)),
        "last line": Text(_shortened(safe.line(snapshot.last_line), 80), GREY),
    }


def _at_kernels_end(snapshot: Snapshot) -> str:
    return _PAST_KERNEL if snapshot.is_kept else _WITH_KERNEL


def _mark(snapshot: Snapshot) -> tuple[str, str]:
    if snapshot.ends_with_kernel:
        return _GLYPHS[JobState.RUNNING] if snapshot.is_kept else ("■", AMBER)
    if snapshot.state is JobState.EXITED:
        if snapshot.returncode == 0:
            return "✓", GREEN
        return ("■", AMBER) if snapshot.ended_by else ("✗", RED)
    return _GLYPHS[snapshot.state]


def _ending(snapshot: Snapshot) -> str:
    if snapshot.ends_with_kernel:
        return _at_kernels_end(snapshot)
    if not snapshot.state.done:
        return snapshot.state.value
    status = snapshot.returncode or 0
    if snapshot.state is JobState.GAVE_UP:
        return "gave up"
    ending = describe_status(status)
    return f"stopped, {ending}" if snapshot.ended_by else ending


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
