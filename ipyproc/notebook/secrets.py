"""``--env NAME``: pass a variable of the notebook to a job without showing its value."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from IPython.core.error import UsageError

__all__ = ["divided"]


def divided(given: Iterable[str], names: Mapping[str, object]) -> tuple[list[str], dict[str, str]]:
    """Return the values of ``--env`` of the form NAME=value, and the variables that the others name.

    A name alone means the notebook's variable of that name. Its value is not in a line that is shown or
    saved, as it would be with ``--env NAME=$NAME``.

    Args:
        given: the value of each ``--env``.
        names: the variables of the notebook.

    Raises:
        UsageError: no such variable exists, or its value is not a text, number or path.
    """
    written: list[str] = []
    secrets: dict[str, str] = {}
    for pair in given:
        if "=" in pair or not pair:
            written.append(pair)
        elif pair not in names:
            raise UsageError(
                f"There is no variable {pair!r} for --env; assign it in a cell first, "
                "or write --env NAME=value."
            )
        else:
            secrets[pair] = _text_of(pair, names[pair])
    return written, secrets


def _text_of(name: str, value: object) -> str:
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise UsageError(
        f"The variable {name!r} for --env is a {type(value).__name__}, not a text; "
        "assign a text, such as a token."
    )
