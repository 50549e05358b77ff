"""A warden told of a process about to start, whose kernel is gone and whose leader has left a child.

Prints whether the child lives on, and whether one lives that holds the same pipe in the kernel's session.
"""

from __future__ import annotations

import os
import subprocess

import psutil

from ipyproc.hosts.local.warden import program
from tests.support import lives, wait_until


def main() -> None:
    leader = subprocess.Popen(
        ["bash", "-c", "set -m; sleep 60 & echo $!"], start_new_session=True, stdout=subprocess.PIPE
    )
    assert leader.stdout is not None
    child = psutil.Process(int(leader.stdout.readline()))
    leader.wait()
    ours = subprocess.Popen(["sleep", "60"], stdout=leader.stdout)
    kernel = subprocess.Popen(["true"])
    kernel.wait()
    read_end, write_end = os.pipe()
    os.write(write_end, b"?%d\n" % os.fstat(leader.stdout.fileno()).st_ino)
    os.close(write_end)
    arguments = str(kernel.pid), str(os.getsid(0))
    subprocess.run(program(*arguments), stdin=read_end, timeout=60, check=True, start_new_session=True)
    os.close(read_end)
    # What got a signal may take a moment to go.
    wait_until(lambda: not lives(child))
    print(lives(child), lives(psutil.Process(ours.pid)))
    ours.kill()
    ours.wait()
    leader.stdout.close()


if __name__ == "__main__":
    main()
