"""The recordings, and what a terminal shows of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ipyproc.screen.screen import Screen
from ipyproc.screen.width import width_of

FOLDER = Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ansi"))
RESIZES = json.loads((FOLDER / "resizes.json").read_text())

# They change rows that were finished, so lines that were taken by then come twice.
TAKEN_BACK = {
    "edge_decaln",
    "edge_erase",
    "edge_insert_delete",
    "edge_long_flood",
    "edge_regions",
    "edge_strings",
    "edge_taken_back",
}


def recording(name: str) -> bytes:
    return (FOLDER / f"{name}.ansi").read_bytes()


def without_colours(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def rows_of(text: str, columns: int) -> list[str]:
    """Wrap lines into the rows of a terminal."""
    rows = [row.rstrip() for line in without_colours(text).split("\n") for row in _wrapped(line, columns)]
    while rows and not rows[-1]:
        rows.pop()
    return rows


def _wrapped(line: str, columns: int) -> Iterator[str]:
    row, size = "", 0
    for character in line:
        width = width_of(character)
        if size + width > columns:
            yield row
            row, size = "", 0
        row, size = row + character, size + width
    yield row


def compared(name: str, cut: Callable[[int], int], *, take: bool) -> list[tuple[int, list[str], list[str]]]:
    """Feed a recording to a screen; return what it shows at some offsets, and what it should.

    Args:
        name: the recording.
        cut: gives how many of so many bytes to feed at once.
        take: take lines after each feed, not only at the end.
    """
    data, found, taken, position, columns = recording(name), [], "", 0, 100
    screen = Screen()
    steps: list[tuple[int, object]] = [
        (at["offset"], at) for at in json.loads((FOLDER / f"{name}.json").read_text())
    ]
    steps += [(offset, (rows, columns)) for offset, rows, columns in RESIZES.get(name, ())]
    for offset, step in sorted(steps, key=lambda item: (item[0], isinstance(item[1], dict))):
        while position < offset:
            size = min(cut(offset - position), offset - position)
            screen.feed(data[position : position + size])
            position += size
            if take:
                taken += screen.take()
                screen.live()
        if isinstance(step, tuple):
            screen.resize(*step)
            columns = step[1]
            continue
        assert isinstance(step, dict)
        assert screen.is_alternate == step["alternate"]
        if step["alternate"]:
            found.append(
                (offset, [without_colours(row).rstrip() for row in screen.live().rows], step["rows"])
            )
        elif take or offset == len(data):
            taken += screen.take()
            shown = taken + "\n".join(screen.live().rows)
            found.append((offset, rows_of(shown, columns), step["rows"]))
    shown = taken + "\n".join(screen.live().rows)
    screen.finish()
    taken += screen.take()
    assert screen.live().rows == ()
    if not step["alternate"]:
        assert rows_of(taken, columns) == rows_of(shown, columns)
    return found
