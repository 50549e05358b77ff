"""Forks argv[1] times while threads flood outputs; each child reads them. Prints how many did, as JSON."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import warnings

from ipyproc.spool.output import Output

LONGEST = 60.0
LINE = b"0123456789abcdef" * 256


def flood(output: Output, done: threading.Event) -> None:
    count = 0
    while not done.is_set():
        output.append("stderr" if count % 2 else "stdout", LINE, count)
        count += 1


def read_in_child(outputs: list[Output], result: int) -> None:
    # The parent goes on dropping the oldest, of which a child finds less and less.
    texts = [output.text() + output.tail(1) + output.stderr_tail(2) for output in outputs]
    whole = not set("".join(texts)) - set("0123456789abcdef") and len(texts[2]) > 1000
    outputs[0].append("stdout", b"not the parent's", 0.0)
    outputs[0].close()
    os.write(result, b"y" if whole else b"n")


def in_a_fork(outputs: list[Output]) -> str:
    """What a child says; nothing when it has not come to an end in time."""
    result, childs_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            read_in_child(outputs, childs_end)
        finally:
            os._exit(0)
    os.close(childs_end)
    answer = os.read(result, 1) if select.select([result], [], [], LONGEST)[0] else b""
    os.close(result)
    if not answer:
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    return answer.decode()


def main(forks: int) -> dict[str, object]:
    # Two are in files, of which the oldest go.
    outputs = [Output(100_000), Output(2_000_000), Output(1 << 30)]
    outputs[2].append("stdout", LINE, 0.0)
    done = threading.Event()
    threads = [threading.Thread(target=flood, args=(output, done)) for output in outputs[:2]]
    for thread in threads:
        thread.start()
    try:
        while outputs[1].start == 0:
            pass
        answers = [in_a_fork(outputs) for _ in range(forks)]
        with outputs[0].lock:
            answers.append(in_a_fork(outputs))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    told = {
        "well": answers.count("y"),
        "never": answers.count(""),
        "parent's is whole": not set(outputs[1].text()) - set("0123456789abcdef"),
        "parent has": [len(output.read()) for output in outputs[:2]],
    }
    for output in outputs:
        output.close()
    return told


if __name__ == "__main__":
    # Python 3.12 warns of each fork beside threads: that is what this is about.
    warnings.simplefilter("ignore", DeprecationWarning)
    print(json.dumps(main(int(sys.argv[1]))))
