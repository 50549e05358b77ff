"""A worker's end of the wire: its messages to the helper, and the barrier."""

from __future__ import annotations

import os
import time

from ipyproc.hosts.helper.wire import encode

__all__ = ["Channel"]


class Channel:
    """A worker's way to its helper, which passes the messages on to the kernel.

    Args:
        task_id: the number of the worker.
        up: the fd to write messages to.
        gate: the fd to read the barrier from, one byte for each worker that may pass.
    """

    def __init__(self, task_id: int, up: int, gate: int) -> None:
        self._task_id = task_id
        self._up = up
        self._gate = gate

    def barrier(self) -> None:
        """Report that this worker is ready, and wait until the kernel opens the barrier."""
        self._send(encode("ready", task=self._task_id))
        while True:
            try:
                os.read(self._gate, 1)
            except BlockingIOError:
                continue
            return

    def measure(self, operations: int, **figures: object) -> None:
        """Report how many operations this worker has done since it began, and further figures.

        The live table shows operations per second if this is called from time to time::

            while True:
                handle(next(requests))
                done += 1
                measure(done)

        Args:
            operations: a number that never falls.
            figures: values that JSON can hold.
        """
        body = b""
        if figures:
            import json  # Late, since a worker without figures need not wait for it.

            body = json.dumps(figures).encode()
        now = time.monotonic()
        self._send(encode("measure", body, task=self._task_id, operations=int(operations), at=now))

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._up, data) :]
        except BrokenPipeError:
            pass  # The helper has exited; the signal that ends this worker is on its way.
