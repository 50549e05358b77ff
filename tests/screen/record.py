"""Record what a program writes to its terminal: ``python record.py FILE [--keys KEYS] COMMAND...``.

KEYS are typed one after another, "\\e" is Escape, "~" a pause. The size is 24 x 100. Run it in a folder and
with names that may be published; the file has the bytes as they came.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

ROWS, COLUMNS = 24, 100
KEEP = ("PATH", "LANG")


def record(path: str, command: list[str], keys: str) -> int:
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = {name: os.environ[name] for name in KEEP if name in os.environ}
        os.execvpe(
            command[0], command, env | {"TERM": "xterm-256color", "HOME": "/tmp/demo", "LANG": "C.UTF-8"}
        )
    left = list(keys.replace("\\e", "\x1b").replace("\\r", "\r"))
    next_key = time.monotonic() + 1
    with open(path, "wb") as file:
        while True:
            ready, _, _ = select.select([master], [], [], 0.05)
            if ready:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                if not data:
                    break
                file.write(data)
            if left and time.monotonic() > next_key:
                key = left.pop(0)
                next_key = time.monotonic() + (0.4 if key == "~" else 0.03)
                if key != "~":
                    os.write(master, key.encode())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    file, *rest = sys.argv[1:]
    typed = ""
    if rest[0] == "--keys":
        typed, rest = rest[1], rest[2:]
    print(file, record(file, rest, typed))
