"""The messages between the kernel and a helper, and between a helper and its workers.

A message is a kind, a few named fields, and bytes. On the wire it is a head (a mark, the length of the
fields, the length of the bytes), the fields as text, the bytes as they are. Each end begins with its
version: the helper by `hello`, the kernel by `start`. Only the bytes of `start` may hold a pickle, and
only the helper reads it.
"""

from __future__ import annotations

import struct

# Known to type checkers by its name: `typing` is slow to import, and a helper is waited for.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipyproc.errors import WireError

__all__ = ["BODY_LIMIT", "START_LIMIT", "VERSION", "Decoder", "Message", "check_version", "encode"]

VERSION = 1
"""Both ends must have the same: they come from one package, unless it was upgraded in between."""

BODY_LIMIT = 1 << 20
"""Bytes that a message carries at most; `start`, with the pushed variables, may have `START_LIMIT`."""

START_LIMIT = 1 << 30

Value = int | float | str

_HEAD = struct.Struct("!BHI")
_MARK = 0xF7
_FIELDS_LIMIT = 16 << 10

_TYPES: dict[str, dict[str, type[int] | type[float] | type[str]]] = {
    # from the kernel
    "start": {
        "version": int,
        "workers": int,
        "max_restarts": int,
        "filename": str,
        "first_line": int,  # where the body stands in its cell
        "fork_line": int,  # the line before which the workers are forked
        "source": int,  # bytes of it, at the front of the body
        "path": int,  # bytes of sys.path, NUL between, after the source; a pickle follows
    },
    "stop": {"signum": int},
    "signal": {"task": int, "signum": int},  # task -1: every worker
    "restart": {"task": int, "signum": int},
    "go": {},  # opens the barrier for the workers that are ready
    # from the helper
    "hello": {"version": int, "pid": int},
    "started": {"task": int, "pid": int, "at": float},
    "output": {"task": int, "stream": str},
    "exited": {"task": int, "pid": int, "status": int, "at": float},
    "restarting": {"task": int, "restarts": int},
    "gave-up": {"max_restarts": int},
    # from a worker, through its helper, which says whose they are
    "ready": {"task": int},
    "measure": {"task": int, "operations": int, "at": float},  # the body: further figures as JSON
}


class Message:
    """One message.

    Attributes:
        kind: what it says.
        fields: its fields, by name.
        body: its bytes.
    """

    __slots__ = ("body", "fields", "kind")

    def __init__(self, kind: str, fields: dict[str, Value], body: bytes = b"") -> None:
        self.kind = kind
        self.fields = fields
        self.body = body

    def __repr__(self) -> str:
        fields = "".join(f" {name}={value!r}" for name, value in self.fields.items())
        return f"<Message {self.kind}{fields}, {len(self.body)} bytes>"

    def number(self, name: str) -> int:
        """A field that is a whole number."""
        return int(self.fields[name])

    def text(self, name: str) -> str:
        """A field as text."""
        return str(self.fields[name])

    def time(self, name: str) -> float:
        """A field that is a time, in seconds since the epoch."""
        return float(self.fields[name])


def encode(kind: str, body: bytes = b"", /, **fields: Value) -> bytes:
    """A message as it goes over the wire.

    Raises:
        WireError: there is no such message, or it is too large.
    """
    types = _TYPES.get(kind)
    if types is None or fields.keys() != types.keys():
        raise _error(f"there is no message {kind!r} with the fields {', '.join(fields) or 'none'}")
    text = "\0".join([kind, *(f"{name}={fields[name]}" for name in types)]).encode()
    limit = START_LIMIT if kind == "start" else BODY_LIMIT
    if len(text) > _FIELDS_LIMIT or len(body) > limit:
        raise _error(
            f"a message {kind!r} of {len(text):,} + {len(body):,} bytes is too long; "
            f"send at most {_FIELDS_LIMIT:,} + {limit:,}"
        )
    return _HEAD.pack(_MARK, len(text), len(body)) + text + body


class Decoder:
    """Takes bytes as they come, and gives the messages that are complete.

    Args:
        limit: bytes that a message may carry.
    """

    def __init__(self, limit: int = BODY_LIMIT) -> None:
        self._limit = limit
        self._unread = bytearray()

    def __bool__(self) -> bool:
        """Whether a part of a message is there, and the rest is not."""
        return bool(self._unread)

    def feed(self, data: bytes | memoryview) -> Iterator[Message]:
        """Takes ``data``, and gives what it completes.

        Raises:
            WireError: the bytes are no message. What came before them has been given by then.
        """
        unread = self._unread
        unread += data
        position = 0
        try:
            while len(unread) - position >= _HEAD.size:
                mark, text_size, body_size = _HEAD.unpack_from(unread, position)
                if mark != _MARK or text_size > _FIELDS_LIMIT or body_size > self._limit:
                    # Told by its first bytes, so that no length made of garbage is waited for.
                    raise _error(f"{bytes(unread[position : position + 24])!r} is no message")
                start = position + _HEAD.size
                end = start + text_size + body_size
                if len(unread) < end:
                    break
                text = bytes(unread[start : start + text_size])
                body = bytes(unread[start + text_size : end])
                position = end
                yield _message(text, body)
        finally:
            del unread[:position]


def check_version(message: Message, kind: str) -> None:
    """Makes sure that the other end has greeted, and is of our version.

    Raises:
        WireError: it is not.
    """
    if message.kind != kind:
        raise _error(f"the message {message.kind!r} came before the greeting {kind!r}")
    if message.fields["version"] != VERSION:
        raise _error(
            f"the other end speaks version {message.fields['version']}, this one {VERSION}; "
            "restart the kernel, since ipyproc was upgraded while it ran"
        )


def _message(text: bytes, body: bytes) -> Message:
    try:
        kind, *parts = text.decode().split("\0")
        pairs = dict(part.split("=", 1) for part in parts)
        types = _TYPES[kind]
        if pairs.keys() != types.keys():
            raise KeyError(kind)
        return Message(kind, {name: of(pairs[name]) for name, of in types.items()}, body)
    except (ValueError, KeyError):
        raise _error(f"{text[:80]!r} is no message that this version knows") from None


def _error(what: str) -> WireError:
    # Not at the top: with `subprocess` it is slow to import, and this is seldom needed.
    from ipyproc.errors import WireError

    return WireError(f"Unexpected bytes between the kernel and its helper: {what}")
