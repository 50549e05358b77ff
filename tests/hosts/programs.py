"""What the contract's jobs do: the same words, as commands for a shell and as coroutines."""

from __future__ import annotations

import asyncio

from tests.hosts.toy import Program, Say

COMMANDS: dict[str, str | tuple[str, ...]] = {
    "succeed": "true",
    "fail": "exit 3",
    "crash": "kill -TERM $$",
    "talk": "echo one; echo two >&2; echo three",
    "count": "seq 10000",
    "wait": "echo up; exec sleep 600",
    "ignore": "trap '' INT TERM; echo up; while true; do sleep 0.02; done",
    "tick": "while true; do echo tick; sleep 0.02; done",
    "missing": ("/no/such/program",),
}


async def succeed(say: Say) -> int:
    return 0


async def fail(say: Say) -> int:
    return 3


async def crash(say: Say) -> int:
    return -15


async def talk(say: Say) -> int:
    say("stdout", b"one\n")
    say("stderr", b"two\n")
    say("stdout", b"three\n")
    return 0


async def count(say: Say) -> int:
    for number in range(1, 10001):
        say("stdout", b"%d\n" % number)
        if not number % 1000:
            await asyncio.sleep(0)
    return 0


async def wait(say: Say) -> int:
    say("stdout", b"up\n")
    await asyncio.sleep(600)
    return 0


async def ignore(say: Say) -> int:
    say("stdout", b"up\n")
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError as sent:
            if sent.args not in (("SIGINT",), ("SIGTERM",)):
                raise


async def tick(say: Say) -> int:
    while True:
        say("stdout", b"tick\n")
        await asyncio.sleep(0.02)


COROUTINES: dict[str, Program] = {
    program.__name__: program for program in (succeed, fail, crash, talk, count, wait, ignore, tick)
}
