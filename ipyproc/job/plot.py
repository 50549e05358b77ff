"""Plot what a job used by matplotlib, which is imported only then."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from ipyproc.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ipyproc.model.usage import UsagePoint

__all__ = ["new_figure", "plot_usage"]


def new_figure(size: tuple[float, float]) -> Figure:
    """Return a figure that a notebook shows, and that nothing keeps.

    Args:
        size: its width and height in inches.

    Raises:
        MissingPackageError: matplotlib is not installed (an `ImportError`).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError(
            "A plot needs matplotlib, which is not installed; install it with 'pip install ipyproc[plot]'."
        ) from None

    # pyplot would keep every figure, and choose a backend for the whole notebook.
    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            png = BytesIO()
            self.savefig(png, format="png", dpi=110)
            return png.getvalue()

    return Picture(figsize=size, layout="constrained")


def plot_usage(points: list[UsagePoint]) -> Figure:
    """Plot the CPU and the memory of a job over its life.

    Raises:
        MissingPackageError: matplotlib is not installed (an `ImportError`).
    """
    figure = new_figure((9, 3.2))
    seconds = [point.seconds for point in points]
    values = ([point.cpu for point in points], [point.memory / 1e6 for point in points])
    for axes, numbers, label in zip(figure.subplots(1, 2), values, ("CPU, cores", "memory, MB"), strict=True):
        axes.plot(seconds, numbers, "-" if len(points) > 1 else "o")
        axes.set_xlabel("seconds since its start")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    return figure
