"""One call of fork_processes: ``fork_scenario.py SCENARIO [WITHOUT...]``.

WITHOUT takes something away from the system first: ``pidfd`` (as a seccomp filter does), ``prctl`` (as
outside Linux), ``main-thread`` (runs the scenario in another thread).

Each line on stdout is a fact for the test: a word, then JSON.
"""

from __future__ import annotations

import gc
import json
import logging
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

from ipyproc.process.fork import cpu_count, fork_processes, task_id
from ipyproc.process.platform import lifeline
from ipyproc.process.supervisor import Exited, GaveUp, Restarting, Started, Supervisor


def tell(word: str, fact: object = None) -> None:
    os.write(1, f"{word} {json.dumps(fact)}\n".encode())


FROZEN_AT_THE_START = gc.get_freeze_count()
"""Python 3.12 freezes what is immortal."""


def frozen_since_the_start() -> int:
    return gc.get_freeze_count() - FROZEN_AT_THE_START


def fds() -> list[str]:
    return sorted(name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}"))


def has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def sleep_for_ever() -> None:
    while True:
        signal.pause()


def clean() -> None:
    before = fds()
    worker = fork_processes(3)
    if worker is not None:
        tell("worker", [worker, task_id(), fds() == before])
        os._exit(0)
    tell("parent", [worker, task_id(), fds() == before, has_children(), frozen_since_the_start()])


def exit_parent() -> None:
    try:
        if fork_processes(2, exit_parent=True) is not None:
            os._exit(0)
    except SystemExit as error:
        tell("exit", error.code)


def counts() -> None:
    for number in (None, 0, -1):
        if fork_processes(number) is not None:
            tell("worker", task_id())
            os._exit(0)
    tell("cpu_count", cpu_count())


def restart() -> None:
    random.seed(1)
    starts = mmap.mmap(-1, 1)
    worker = fork_processes(2)
    if worker is None:
        tell("parent", task_id())
        return
    tell("worker", [worker, task_id(), os.getpid(), random.random()])
    if worker == 0:
        starts[0] += 1
        if starts[0] == 1:
            os._exit(7)
        if starts[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def restarts_used_up() -> None:
    before = fds()
    try:
        worker = fork_processes(3, 2)
        if worker == 0:
            os._exit(3)
        sleep_for_ever()
    except RuntimeError as error:
        tell("error", str(error))
        tell("left", [has_children(), fds() == before, frozen_since_the_start()])


def none_means_a_hundred() -> None:
    try:
        fork_processes(1, None)
        os.write(1, b"worker 0\n")
        os._exit(1)
    except RuntimeError as error:
        tell("error", str(error))


def strangers() -> None:
    quick = subprocess.Popen(["sh", "-c", "exit 7"])
    slow = subprocess.Popen(["sh", "-c", "sleep 0.05; exit 8"])
    if fork_processes(2) is not None:
        time.sleep(0.1)
        os._exit(0)
    tell("strangers", [quick.wait(), slow.wait()])


def reaped_by_a_stranger() -> None:
    def reap_any(signum: int, frame: object) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    signal.signal(signal.SIGCHLD, reap_any)
    try:
        if fork_processes(1, 1) is not None:
            os._exit(3)
    except RuntimeError as error:
        tell("error", str(error))


def exits_ignored() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    worker = fork_processes(1)
    ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    tell("worker" if worker is not None else "parent", ignored)


def told_to_stop() -> None:
    def stopped(signum: int, frame: object) -> None:
        tell("stopped", [task_id(), signum])
        os._exit(0)

    if fork_processes(2) is not None:
        signal.signal(signal.SIGTERM, stopped)
        signal.signal(signal.SIGINT, stopped)
        tell("worker", os.getpid())
        sleep_for_ever()


def deaf() -> None:
    if Supervisor(2, grace=0.2).run() is not None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        tell("worker", os.getpid())
        sleep_for_ever()


def goes_on_after_the_signal() -> None:
    signal.signal(signal.SIGTERM, lambda signum, frame: tell("handler", signum))
    try:
        if fork_processes(2) is not None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            tell("worker", os.getpid())
            sleep_for_ever()
    except RuntimeError as error:
        tell("error", str(error))


def handlers() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, mine := lambda signum, frame: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    worker = fork_processes(2)
    same = [
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        signal.getsignal(signal.SIGTERM) is mine,
        signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
        signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask,
    ]
    tell("worker" if worker is not None else "parent", same)


def signal_while_forking() -> None:
    parent = os.getpid()
    os.register_at_fork(after_in_parent=lambda: os.kill(parent, signal.SIGTERM))
    if fork_processes(2) is not None:
        sleep_for_ever()


def signal_raises_while_forking() -> None:
    parent = os.getpid()

    def too_late(signum: int, frame: object) -> None:
        raise TimeoutError("the caller's own alarm")

    signal.signal(signal.SIGALRM, too_late)
    os.register_at_fork(after_in_parent=lambda: os.kill(parent, signal.SIGALRM))
    try:
        if fork_processes(2) is not None:
            sleep_for_ever()
    except TimeoutError:
        tell("left", has_children())


def lives_on() -> None:
    if fork_processes(2) is not None:
        tell("worker", os.getpid())
        sleep_for_ever()


def memory() -> None:
    objects = [[number, str(number)] for number in range(200_000)]
    size = _private()
    if fork_processes(1) is not None:
        gc.collect()
        tell("private", [_private(), size])
        os._exit(0)
    tell("parent", [frozen_since_the_start(), len(objects)])


def frozen_before() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    if fork_processes(1) is not None:
        os._exit(0)
    tell("parent", gc.get_freeze_count() == before > 0)


def _private() -> int:
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def buffered() -> None:
    sys.stdout.write("once ")
    sys.stderr.write("once ")
    if fork_processes(3) is None:
        print()


def logged() -> None:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    try:
        if (worker := fork_processes(2, 1)) == 0:
            os._exit(5)
        elif worker == 1:
            sleep_for_ever()
    except RuntimeError:
        pass


def worker_of_a_worker() -> None:
    if fork_processes(1) is not None:
        try:
            fork_processes(1)
        except RuntimeError as error:
            tell("error", str(error))


def steered() -> None:
    alive = os.pipe()
    heard = 0

    def on_event(event: Started | Exited | Restarting | GaveUp) -> None:
        tell(type(event).__name__, {k: getattr(event, k) for k in event.__slots__ if k != "pid"})

    def on_alive() -> None:
        nonlocal heard
        heard += len(os.read(alive[0], 1))
        if heard == 2:
            tell("restart", supervisor.restart(1))
        elif heard == 3:
            tell("kill", supervisor.send_signal(0, signal.SIGKILL))
        elif heard == 4:
            tell("nobody", supervisor.send_signal(7, signal.SIGKILL))
            supervisor.stop()
            tell("restart", supervisor.restart(0))
            supervisor.remove_reader(alive[0])

    supervisor = Supervisor(2, 1, on_event=on_event)
    supervisor.add_reader(alive[0], on_alive)
    if supervisor.run() is not None:
        os.write(alive[1], b".")
        sleep_for_ever()
    tell("parent", repr(supervisor))


def observer_fails() -> None:
    def on_event(event: object) -> None:
        raise LookupError("the observer's own")

    try:
        if Supervisor(2, on_event=on_event).run() is not None:
            sleep_for_ever()
    except LookupError:
        tell("left", has_children())


def fork_fails() -> None:
    fork, forks = os.fork, 0

    def fork_twice() -> int:
        nonlocal forks
        forks += 1
        if forks == 3:
            raise BlockingIOError(11, "no more processes")
        return fork()

    os.fork = fork_twice
    try:
        if fork_processes(3) is not None:
            sleep_for_ever()
    except BlockingIOError:
        tell("left", has_children())


def take_away(what: str) -> None:
    def refused(pid: int, flags: int = 0) -> int:
        raise PermissionError(1, "refused")

    if what == "pidfd":
        os.pidfd_open = refused
    elif what == "prctl":
        lifeline._load_parent_death_signal = lambda: None


if __name__ == "__main__":
    scenario, *without = sys.argv[1:]
    for what in without:
        take_away(what)
    if "main-thread" in without:
        warnings.simplefilter("ignore", DeprecationWarning)  # fork() beside the waiting main thread
        thread = threading.Thread(target=globals()[scenario])
        thread.start()
        thread.join()
    else:
        globals()[scenario]()
