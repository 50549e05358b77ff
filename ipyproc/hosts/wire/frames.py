"""What goes over the socket: frames of fields and bytes.

A frame is a head (a mark, the length of the fields, the length of the bytes), the fields as a JSON object
with their ``kind``, and the bytes as they are. There is no pickle. The first frame from each end is a
greeting, with the versions that it speaks. Fields that an end does not know are ignored: a newer one may send
them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import NoReturn

from ipyproc.errors import WireError

__all__ = [
    "BODY_LIMIT",
    "OLDEST",
    "VERSION",
    "Decoder",
    "Fields",
    "Frame",
    "agree",
    "encode",
]

VERSION = 1
"""The version that this package speaks."""

OLDEST = 1
"""The oldest version that it still speaks: a server lives on when its clients are upgraded."""

BODY_LIMIT = 1 << 20
"""Bytes that a frame carries at most; what is more goes in several."""

_HEAD = struct.Struct("!BII")
_MARK = 0xF6
_TEXT_LIMIT = 16 << 20


class Fields:
    """Named values from outside; each is checked when it is asked for.

    Args:
        given: the values.
        what: whose they are, for people.
    """

    __slots__ = ("_given", "_what")

    def __init__(self, given: object, what: str) -> None:
        if not isinstance(given, Mapping):
            raise _error(f"{what} is {_shown(given)}, where named values belong")
        self._given: Mapping[str, object] = given
        self._what = what

    def __repr__(self) -> str:
        return f"<Fields of {self._what}: {', '.join(self._given)}>"

    def names(self) -> set[str]:
        """Return the names of all values."""
        return set(self._given)

    def has(self, name: str) -> bool:
        """Return whether there is a value of this name other than null."""
        return self._given.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text.

        Raises:
            WireError: it is missing without a default, or is of another type; likewise below.
        """
        value = self._value(name, default)
        return value if isinstance(value, str) else self._refuse(name, "a text")

    def number(self, name: str, default: int | None = None) -> int:
        """Return a whole number."""
        value = self._value(name, default)
        return (
            value
            if isinstance(value, int) and not isinstance(value, bool)
            else self._refuse(name, "a number")
        )

    def seconds(self, name: str, default: float | None = None) -> float:
        """Return a number of seconds."""
        value = self._value(name, default)
        if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
            try:
                return float(value)
            except OverflowError:
                pass
        return self._refuse(name, "a number of seconds")

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return a truth value."""
        value = self._value(name, default)
        return value if isinstance(value, bool) else self._refuse(name, "true or false")

    def items(self, name: str) -> list[object]:
        """Return a list, of whatever is in it; an empty one where it is missing."""
        value = self._value(name, [])
        return value if isinstance(value, list) else self._refuse(name, "a list")

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        items = self.items(name)
        found = [item for item in items if isinstance(item, str)]
        return found if len(found) == len(items) else self._refuse(name, "a list of texts")

    def numbers(self, name: str) -> list[int]:
        """Return a list of whole numbers."""
        items = self.items(name)
        found = [item for item in items if isinstance(item, int) and not isinstance(item, bool)]
        return found if len(found) == len(items) else self._refuse(name, "a list of numbers")

    def inner(self, name: str) -> Fields:
        """Return named values in these; none where they are missing."""
        return Fields(self._value(name, {}), f"{name!r} of {self._what}")

    def inners(self, name: str) -> list[Fields]:
        """Return a list of named values."""
        return [Fields(item, f"an item of {name!r} of {self._what}") for item in self.items(name)]

    def value(self, name: str) -> object:
        """Return whatever it is; None where it is missing."""
        return self._given.get(name)

    def _value(self, name: str, default: object) -> object:
        value = self._given.get(name)
        return default if value is None else value

    def _refuse(self, name: str, wanted: str) -> NoReturn:
        raise _error(f"{name!r} of {self._what} is {_shown(self._given.get(name))}, where {wanted} belongs")


class Frame:
    """One frame.

    Attributes:
        kind: what it says.
        fields: its fields.
        body: its bytes.
    """

    __slots__ = ("body", "fields", "kind")

    def __init__(self, kind: str, fields: Fields, body: bytes = b"") -> None:
        self.kind = kind
        self.fields = fields
        self.body = body

    def __repr__(self) -> str:
        return f"<Frame {self.kind!r}, {self.fields!r}, {len(self.body):,} bytes>"


def encode(kind: str, fields: Mapping[str, object], body: bytes = b"") -> list[bytes]:
    """Return a frame as it goes over the socket, in parts: a large body is not copied.

    Raises:
        WireError: it is too long, or has a value of another type than JSON's.
    """
    # ASCII, so that half a surrogate pair, as in a file's name that is no UTF-8, gets through.
    try:
        text = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise WireError(
            f"A message {kind!r} has a value that cannot be sent to a host ({error}); give texts and numbers."
        ) from None
    if len(text) > _TEXT_LIMIT or len(body) > BODY_LIMIT:
        raise WireError(
            f"A message {kind!r} of {len(text):,} + {len(body):,} bytes is too long for a host; "
            f"give it at most {_TEXT_LIMIT:,} + {BODY_LIMIT:,}."
        )
    head = _HEAD.pack(_MARK, len(text), len(body)) + text
    return [head, body] if body else [head]


class Decoder:
    """Takes bytes as they come, and gives the frames that are complete."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """Take ``data``, and give what it completes.

        Raises:
            WireError: the bytes are no frame. What came before them has been given by then.
        """
        unread = self._unread
        unread += data
        position = 0
        try:
            while len(unread) - position >= _HEAD.size:
                mark, text_size, body_size = _HEAD.unpack_from(unread, position)
                if mark != _MARK or text_size > _TEXT_LIMIT or body_size > BODY_LIMIT:
                    # Told by its first bytes, so that no length made of garbage is waited for.
                    raise _error(f"{bytes(unread[position : position + 24])!r} is no message")
                start = position + _HEAD.size
                end = start + text_size + body_size
                if len(unread) < end:
                    break
                text = bytes(unread[start : start + text_size])
                body = bytes(memoryview(unread)[start + text_size : end])
                position = end
                yield _frame(text, body)
        finally:
            del unread[:position]


def agree(greeting: Frame) -> int:
    """Return the newest version that both ends speak.

    Args:
        greeting: the first frame from the other end, with ``versions``: its oldest and its newest.

    Raises:
        WireError: it is no greeting, or there is no such version.
    """
    if greeting.kind != "hello":
        raise _error(f"the message {greeting.kind[:40]!r} came before the greeting")
    versions = greeting.fields.numbers("versions")
    oldest, newest = (versions[0], versions[-1]) if versions else (0, 0)
    if max(oldest, OLDEST) > min(newest, VERSION):
        raise WireError(
            f"The host and its client do not understand each other: one end speaks the versions {oldest} to "
            f"{newest}, this one {OLDEST} to {VERSION}; restart the host and the kernel with one ipyproc."
        )
    return min(newest, VERSION)


def _frame(text: bytes, body: bytes) -> Frame:
    try:
        given = json.loads(text)
        kind = given["kind"]
    except (ValueError, TypeError, KeyError, RecursionError):
        kind = None
    if not isinstance(kind, str):
        raise _error(f"{text[:80]!r} is no message")
    return Frame(kind, Fields(given, f"the message {kind[:40]!r}"), body)


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:80]


def _error(what: str) -> WireError:
    return WireError(f"Unexpected bytes between a host and its client: {what}; restart the host.")
