"""A training: ``train.py FILE`` writes its step to FILE at SIGUSR1, and goes on.

It ignores SIGINT. At SIGTERM it drains for 1.6 s, writes ``done`` to FILE, and exits with status 0.
"""

from __future__ import annotations

import os
import signal
import sys
import time

step = 0


def save(text: str) -> None:
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(text)
    os.replace(sys.argv[1] + ".new", sys.argv[1])


def drain(*_: object) -> None:
    time.sleep(1.6)
    save("done")
    sys.exit(0)


signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, lambda *_: save(f"step {step}"))
signal.signal(signal.SIGTERM, drain)
while step < 2000:
    step += 1
    print("step", step, flush=True)
    time.sleep(0.03)
