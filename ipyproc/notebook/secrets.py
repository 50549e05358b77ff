"""``--env NAME``: variables of the notebook that a job gets, and nobody sees."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from IPython.core.error import UsageError

__all__ = ["divided"]


def divided(given: Iterable[str], names: Mapping[str, object]) -> tuple[list[str], dict[str, str]]:
    """What ``--env`` was given: those with a value, as they are, and the values of the others.

    A name alone stands for the notebook's variable of that name. Its value is in no line that is shown or
    saved, as it would be with ``--env NAME=$NAME``.

    Args:
        given: what stands after each ``--env``.
        names: the variables of the notebook.

    Raises:
        UsageError: there is no such variable, or it is no text.
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
