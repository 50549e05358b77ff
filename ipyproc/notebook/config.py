"""The settings: ``%config IPyProc``."""

from __future__ import annotations

from traitlets import Bool, Float, Int
from traitlets.config import Configurable

__all__ = ["IPyProc"]


class IPyProc(Configurable):
    """How jobs show their output in a notebook."""

    cell_bytes = Int(
        200_000,
        min=0,
        help="Bytes of a job's output that its cell shows, before a live tail of the last lines.",
    ).tag(config=True)
    batch_bytes = Int(
        50_000_000,
        min=0,
        help="Bytes of a job's output that its cell shows in a batch run (nbclient, papermill, nbconvert).",
    ).tag(config=True)
    tail_lines = Int(15, min=1, help="Lines of the live tail.").tag(config=True)
    messages_per_second = Float(
        20.0, min=0.1, help="Messages per second that a job may send to its cell."
    ).tag(config=True)
    bytes_per_second = Int(
        500_000, min=1000, help="Bytes of output per second that all jobs together may send to the page."
    ).tag(config=True)
    ended_jobs = Int(
        1000,
        min=1,
        help="Number of ended jobs that stay in %jobs; older ones are forgotten.",
    ).tag(config=True)
    grace = Float(
        2.0, min=0.0, help="Seconds that %stop and %restart wait after SIGINT, and again after SIGTERM."
    ).tag(config=True)
    kernel_path = Bool(
        True, help="Whether the kernel's own python, pip and so on come first in a job's PATH."
    ).tag(config=True)
    live_view = Bool(
        True,
        help="Whether pages show jobs in a widget, with buttons and a terminal, where anywidget is installed "
        "(pip install 'ipyproc[live]').",
    ).tag(config=True)
    live_patience = Float(
        5.0,
        min=0.0,
        help="Seconds in which a page has to show a job's widget; after them the plain form goes on.",
    ).tag(config=True)
    kept_days = Float(
        30.0, min=0.0, help="Days for which the output of a kept job that has ended is kept."
    ).tag(config=True)
    kept_bytes = Int(
        4 << 30, min=0, help="Bytes of output that all kept jobs that have ended may have; the oldest go."
    ).tag(config=True)
