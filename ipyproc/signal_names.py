"""The names of signals, for people."""

from __future__ import annotations

__all__ = ["signal_name"]


def signal_name(signum: int) -> str:
    """Return the name of a signal, such as ``SIGTERM``, or ``signal 34`` for one without a name."""
    # Imported late: a helper of workers imports this module, and `signal` would delay its start.
    from signal import Signals

    try:
        return Signals(signum).name
    except ValueError:
        return f"signal {signum}"
