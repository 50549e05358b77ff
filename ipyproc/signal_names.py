"""The names of signals, for whoever writes of them."""

from __future__ import annotations

__all__ = ["signal_name"]


def signal_name(signum: int) -> str:
    """Return the name of a signal, such as ``SIGTERM``; real-time signals have a number only."""
    # Here, since a helper of workers imports this module and would wait for that one.
    from signal import Signals

    try:
        return Signals(signum).name
    except ValueError:
        return f"signal {signum}"
