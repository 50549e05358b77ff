"""Private APIs of the standard library's argparse; tried with Python 3.10 to 3.14."""

from __future__ import annotations

import argparse

__all__ = ["options_of"]


def options_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the action of each option of a parser, by each of its names.

    Without ``_actions`` the result is empty: each option is refused as unknown, and none is completed.
    """
    actions: list[argparse.Action] = getattr(parser, "_actions", [])
    return {option: action for action in actions for option in action.option_strings}
