"""Text that is given to the system, and text that is made of what a job writes."""

from __future__ import annotations

import codecs
import os

from ipyproc.errors import JobSpecError

__all__ = ["encoded", "input_bytes", "native", "need_encodable", "need_encoding"]

# Lines are found by this byte, in whichever encoding.
_PLAIN = "a\r\n"


def encoded(text: str) -> bytes:
    """A text as the system is given it.

    In the encoding of file names where that has all its characters, so that the name of a file is what
    it was; else, as under ``LC_ALL=C``, in UTF-8.

    Raises:
        UnicodeEncodeError: it has half of a surrogate pair.
    """
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def native(text: str) -> str | bytes:
    """A text as `subprocess` takes it: itself where Python can encode it, else its bytes."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return encoded(text)
    return text


def need_encodable(what: str, text: str, *, shown: str | None = None) -> None:
    """Sees to it that the system can be given a text.

    Args:
        what: what it is, for people.
        text: the text.
        shown: what an error says instead of the text.

    Raises:
        JobSpecError: it has a NUL, or half of a surrogate pair.
    """
    try:
        fit = b"\0" not in encoded(text)
    except UnicodeEncodeError:
        fit = False
    if not fit:
        raise JobSpecError(
            f"{what} {text if shown is None else shown!r} has a NUL or half a surrogate pair, "
            "which the system refuses; leave it out."
        )


def need_encoding(encoding: str) -> None:
    """Sees to it that text can be made of a job's bytes by ``encoding``, line by line.

    Raises:
        JobSpecError: Python does not know it, or its line ends are not those of ASCII.
    """
    try:
        codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)
        fit = _PLAIN.encode(encoding) == _PLAIN.encode("ascii")
    except (LookupError, TypeError, ValueError):
        fit = False
    if not fit:
        raise JobSpecError(
            f"The encoding {encoding!r} is none of text whose lines end as in ASCII; "
            "give one such as 'utf-8' or 'latin-1'."
        )


def input_bytes(text: str | bytes, encoding: str = "utf-8") -> bytes:
    """What is written to a job's standard input for ``text``.

    Raises:
        JobSpecError: it is neither text nor bytes, or cannot be encoded.
    """
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    if not isinstance(text, str):
        raise JobSpecError(f"The input {text!r} is neither text nor bytes; give one such as 'yes\\n'.")
    try:
        # Names of files that are no UTF-8 get through.
        return text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError as error:
        bad = text[error.start : error.end]
        raise JobSpecError(
            f"The input {text!r} has {bad!r}, which cannot be written in {encoding!r}; leave it out."
        ) from None
