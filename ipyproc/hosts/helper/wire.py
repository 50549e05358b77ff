"""The messages between the kernel and a helper, and between a helper and its workers.

A message has a kind, named fields, and a body of bytes. On the wire it is a head (a mark, the length of the
fields, the length of the body), the fields as text, and the body. Each end first sends its version: the
helper in `hello`, the kernel in `start`. Only the body of `start` may hold a pickle, and only the helper
reads it.
"""

from __future__ import annotations

import struct

# Type checkers know this name; `typing` is slow to import, and a cell waits for the helper.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipyproc.errors import WireError

__all__ = ["BODY_LIMIT", "START_LIMIT", "VERSION", "Decoder", "Message", "check_version", "encode"]

VERSION = 1
"""The version of the protocol; both ends must have the same. They differ after an upgrade in between."""

BODY_LIMIT = 1 << 20
"""The largest body of a message in bytes; that of `start`, with the pushed variables, is `START_LIMIT`."""

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
        "first_line": int,  # the line of the cell in which the code begins
        "fork_line": int,  # the line before which the workers are forked
        "source": int,  # the size of the code, which begins the body
        "path": int,  # the size of sys.path, separated by NUL, which follows it; a pickle is the rest
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
    # from a worker, through its helper
    "ready": {"task": int},
    "measure": {"task": int, "operations": int, "at": float},  # the body: further figures as JSON
}


class Message:
    """One message.

    Attributes:
        kind: its kind, such as "started".
        fields: its fields by name.
        body: its body.
        size: the bytes that it took on the wire; 0 where it did not come from there.
    """

    __slots__ = ("body", "fields", "kind", "size")

    def __init__(self, kind: str, fields: dict[str, Value], body: bytes = b"", size: int = 0) -> None:
        self.kind = kind
        self.fields = fields
        self.body = body
        self.size = size

    def __repr__(self) -> str:
        fields = "".join(f" {name}={value!r}" for name, value in self.fields.items())
        return f"<Message {self.kind}{fields}, {len(self.body)} bytes>"

    def number(self, name: str) -> int:
        """Return a field that is a whole number."""
        return int(self.fields[name])

    def text(self, name: str) -> str:
        """Return a field as text."""
        return str(self.fields[name])

    def time(self, name: str) -> float:
        """Return a field that is a time, in seconds of `time.monotonic`."""
        return float(self.fields[name])


def encode(kind: str, body: bytes = b"", /, **fields: Value) -> bytes:
    """Return a message as the bytes that go over the wire.

    Raises:
        WireError: no such message exists, or it is too large.
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
    """Decode messages from bytes that come in pieces.

    Args:
        limit: the largest body in bytes.
    """

    def __init__(self, limit: int = BODY_LIMIT) -> None:
        self._limit = limit
        self._unread = bytearray()

    def __bool__(self) -> bool:
        """Return True while an incomplete message is buffered."""
        return bool(self._unread)

    def feed(self, data: bytes | memoryview) -> Iterator[Message]:
        """Add ``data`` and yield the messages that it completes.

        Raises:
            WireError: the bytes are not a message. Those before it have been yielded by then.
        """
        unread = self._unread
        unread += data
        position = 0
        try:
            while len(unread) - position >= _HEAD.size:
                mark, text_size, body_size = _HEAD.unpack_from(unread, position)
                if mark != _MARK or text_size > _FIELDS_LIMIT or body_size > self._limit:
                    # Checked before the length is waited for, since it may be garbage.
                    raise _error(f"{bytes(unread[position : position + 24])!r} is not a message")
                start = position + _HEAD.size
                end = start + text_size + body_size
                if len(unread) < end:
                    break
                text = bytes(unread[start : start + text_size])
                body = bytes(unread[start + text_size : end])
                size, position = end - position, end
                yield _message(text, body, size)
        finally:
            del unread[:position]


def check_version(message: Message, kind: str) -> None:
    """Check that the first message of the other end is its greeting, with the version of this end.

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


def _message(text: bytes, body: bytes, size: int) -> Message:
    try:
        kind, *parts = text.decode().split("\0")
        pairs = dict(part.split("=", 1) for part in parts)
        types = _TYPES[kind]
        if pairs.keys() != types.keys():
            raise KeyError(kind)
        return Message(kind, {name: of(pairs[name]) for name, of in types.items()}, body, size)
    except (ValueError, KeyError):
        raise _error(f"{text[:80]!r} is not a message of this version") from None


def _error(what: str) -> WireError:
    # Imported late: it imports `subprocess`, which is slow, and errors are rare.
    from ipyproc.errors import WireError

    return WireError(f"Unexpected bytes between the kernel and its helper: {what}")
