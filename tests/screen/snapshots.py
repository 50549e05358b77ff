"""Snapshots of the recordings: ``python -m tests.screen.snapshots`` gives them to snapshots.mjs as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ipyproc.screen.screen import Screen
from tests.screen.recordings import FOLDER, NAMES, RESIZES, recording

PROVED: dict[str, dict[str, str]] = json.loads((FOLDER / "snapshots.json").read_text())


@dataclass(frozen=True)
class Taken:
    """A snapshot of a recording, which stands for its first ``offset`` bytes."""

    name: str
    offset: int
    rows: int
    columns: int
    text: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def steps_of(name: str, data: bytes) -> list[tuple[int, tuple[int, int] | None]]:
    """Return the offsets at which a recording is cut, and the sizes that the terminal gets there."""
    steps: list[tuple[int, tuple[int, int] | None]] = [
        (offset, (rows, columns)) for offset, rows, columns in RESIZES.get(name, ())
    ]
    # The quarters, and between them what cuts sequences and characters, too.
    steps += [(len(data) * part // 4, None) for part in (1, 2, 3, 4)]
    steps += [(len(data) * part // 11, None) for part in range(1, 11)]
    return sorted(set(steps), key=lambda step: (step[0], step[1] is None))


def taken(name: str) -> Iterator[Taken]:
    data = recording(name)
    screen, position, size = Screen(keep=10_000), 0, (24, 100)
    for offset, resized in steps_of(name, data):
        screen.feed(data[position:offset])
        position = offset
        if resized:
            screen.resize(*resized)
            size = resized
        else:
            yield Taken(name, offset - screen.undecoded, *size, screen.snapshot())


if __name__ == "__main__":
    print(
        json.dumps(
            [
                {
                    "name": name,
                    "data": base64.b64encode(recording(name)).decode(),
                    "resizes": RESIZES.get(name, []),
                    "taken": [{**asdict(snapshot), "hash": snapshot.hash} for snapshot in taken(name)],
                }
                for name in NAMES
            ]
        )
    )
