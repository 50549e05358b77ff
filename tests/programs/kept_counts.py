"""Writes numbered lines to both streams until a file is there, then says how many."""

from __future__ import annotations

import os
import sys
import time


def write(fd: int, data: bytes) -> None:
    # Who is stopped amid a write to a terminal has written a part.
    while data:
        data = data[os.write(fd, data) :]


flag, pause = sys.argv[1], float(sys.argv[2])
number = 0
while not os.path.exists(flag):
    for _ in range(200):
        number += 1
        write(1, b"%d\n" % number)
    write(2, b"e%d\n" % number)
    time.sleep(pause)
write(1, b"last %d\n" % number)
sys.exit(7)
