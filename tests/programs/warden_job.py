"""A job of the kind named in argv[1]; prints its processes' ids in one line once all is set up.

Ends by itself after a minute.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time


def child(action: object = None) -> int:
    """Forks a process that calls ``action`` and waits for signals; returns once it has been called."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        if callable(action):
            action()
        os.write(write_end, b"!")
        wait_for_signals()
    os.read(read_end, 1)
    os.close(read_end)
    os.close(write_end)
    return pid


def wait_for_signals() -> None:
    while True:
        signal.pause()


def say(*pids: int) -> None:
    print(*pids, flush=True)


def family() -> None:
    """A child and a grandchild."""
    read_end, write_end = os.pipe()
    middle = child(lambda: os.write(write_end, b"%d" % child()))
    say(os.getpid(), middle, int(os.read(read_end, 100)))


def orphan() -> None:
    """Leaves a child in the session, and exits."""
    say(child())
    os._exit(0)


def stubborn() -> None:
    """Ignores SIGTERM, as does its child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(os.getpid(), child())


def groups() -> None:
    """As a shell with job control: each child leads a process group of its own."""
    say(os.getpid(), child(os.setpgrp), child(os.setpgrp))


def stopped() -> None:
    """Stops itself, and a child in a group of its own."""
    pid = child(os.setpgrp)
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    say(os.getpid(), pid)
    os.kill(os.getpid(), signal.SIGSTOP)


def headless() -> None:
    """Ends its first thread, so that it looks like a zombie, while another lives."""
    import ctypes

    threading.Thread(target=time.sleep, args=(60,)).start()
    say(os.getpid())
    ctypes.CDLL(None).pthread_exit(None)


if __name__ == "__main__":
    signal.alarm(60)
    {kind.__name__: kind for kind in (family, orphan, stubborn, groups, stopped, headless)}[sys.argv[1]]()
    wait_for_signals()
