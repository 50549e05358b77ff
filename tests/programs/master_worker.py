"""A server of a master and two workers, as nginx is: ``master_worker.py [PORT]``.

It answers every connection with the generation of its workers. At SIGHUP the master replaces them by the next
generation; SIGINT and SIGTERM end it with its workers. A worker dies of a SIGHUP. What the master says of a
generation it says when no worker has the master's handlers any more.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time


def worker(listener: socket.socket, generation: int, ready: int) -> None:
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    os.close(ready)
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(f"{generation}".encode())


def main(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    workers: list[int] = []
    generation = 0

    def replace() -> None:
        nonlocal generation
        generation += 1
        before = workers[:]
        workers[:] = []
        waits, ready = os.pipe()
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                worker(listener, generation, ready)
            workers.append(pid)
        os.close(ready)
        os.read(waits, 1)
        os.close(waits)
        end(before)
        print(f"generation {generation} at {listener.getsockname()[1]}", flush=True)

    def end(pids: list[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)

    def over(*_: object) -> None:
        end(workers)
        os._exit(0)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(signum, over)
    signal.signal(signal.SIGHUP, lambda *_: replace())
    signal.alarm(90)
    replace()
    while True:
        # Not pause(): a signal that comes right before it would wait for the next one.
        time.sleep(0.02)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
