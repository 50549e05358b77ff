"""Another user tries all that is kept of a job: every file, every socket, the directory; for root to run."""

from __future__ import annotations

import os
import socket
import sys

from tests.privileges import NOBODY

directory, path = sys.argv[1:]
names = os.listdir(directory)
assert "record.json" in names and any(name.startswith("out.") for name in names), names
os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)


def refused(what: str, error: type[OSError]) -> bool:
    try:
        if what == "list":
            os.listdir(directory)
        elif what == "connect":
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
        elif what == "write":
            open(os.path.join(directory, "new"), "w").close()
        else:
            open(os.path.join(directory, what), "rb").close()
    except error:
        return True
    return False


let_in = [what for what in ("list", "connect", "write", *names) if not refused(what, PermissionError)]
assert not let_in, let_in
