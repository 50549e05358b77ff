"""Messages arrive as they were sent, and bytes that are not a message raise a WireError."""

from __future__ import annotations

import pytest

from ipyproc.errors import IpyprocError, WireError
from ipyproc.hosts.helper.wire import BODY_LIMIT, VERSION, Decoder, check_version, encode


def decoded(data: bytes, step: int | None = None) -> list[tuple[str, dict[str, object], bytes]]:
    decoder = Decoder()
    step = step or len(data)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    messages = [message for piece in pieces for message in decoder.feed(piece)]
    assert not decoder
    return [(message.kind, message.fields, message.body) for message in messages]


@pytest.mark.parametrize("step", [None, 1, 7])
def test_messages_arrive_whole_however_the_bytes_are_cut(step: int | None) -> None:
    data = (
        encode("hello", version=VERSION, pid=12)
        + encode("output", b"\0\xf7" * 50, task=3, stream="stderr")
        + encode("exited", task=0, pid=9, status=-9, at=1.5)
        + encode("go")
    )
    assert decoded(data, step) == [
        ("hello", {"version": VERSION, "pid": 12}, b""),
        ("output", {"task": 3, "stream": "stderr"}, b"\0\xf7" * 50),
        ("exited", {"task": 0, "pid": 9, "status": -9, "at": 1.5}, b""),
        ("go", {}, b""),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"Traceback (most recent call last):\n",
        b"\0" * 64,
        b"\xf7\xff\xff\0\0\0\0",  # fields longer than any
        b"\xf7\0\5\xff\xff\xff\xff",  # a body of 4 GiB
        b"\xf7\0\5\0\0\0\0bogus",
        b"\xf7\0\6\0\0\0\0go\0a=1",
        b"\xf7\0\x13\0\0\0\0hello\0version=x\0pid",
        b"\xf7\0\4\0\0\0\0\xff\xfe\xfd\xfc",
    ],
)
def test_what_is_no_message_is_a_named_error_at_once(data: bytes) -> None:
    good = encode("go")
    messages = Decoder().feed(good + data)
    assert next(messages).kind == "go"
    with pytest.raises(WireError, match="Unexpected bytes") as caught:
        next(messages)
    assert isinstance(caught.value, IpyprocError) and isinstance(caught.value, ValueError)


def test_a_message_that_does_not_exist_or_is_too_large_cannot_be_sent() -> None:
    with pytest.raises(WireError, match="no message 'bogus'"):
        encode("bogus")
    with pytest.raises(WireError, match="no message 'hello' with the fields pid"):
        encode("hello", pid=1)
    with pytest.raises(WireError, match="too long; send at most"):
        encode("output", bytes(BODY_LIMIT + 1), task=0, stream="stdout")


def test_the_other_end_has_to_greet_first_and_in_our_version() -> None:
    (go, hello) = Decoder().feed(encode("go") + encode("hello", version=VERSION + 1, pid=1))
    with pytest.raises(WireError, match="before the greeting 'hello'"):
        check_version(go, "hello")
    with pytest.raises(WireError, match=f"speaks version {VERSION + 1}, this one {VERSION}; restart"):
        check_version(hello, "hello")
