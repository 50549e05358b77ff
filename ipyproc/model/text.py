"""Conversion between text and bytes: for the system, and for a job's input and output."""

from __future__ import annotations

import codecs
import os

from ipyproc.errors import JobSpecError

__all__ = ["encoded", "input_bytes", "native", "need_encodable", "need_encoding"]

# Lines are found by these bytes in any encoding.
_PLAIN = "a\r\n"


def encoded(text: str) -> bytes:
    """Return a text as bytes for the system.

    The encoding is that of file names if it has all characters of the text, so that file names are kept
    byte for byte; otherwise, as under ``LC_ALL=C``, it is UTF-8.

    Raises:
        UnicodeEncodeError: the text has half of a surrogate pair.
    """
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def native(text: str) -> str | bytes:
    """Return a text as `subprocess` accepts it: itself if Python can encode it, otherwise its bytes."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return encoded(text)
    return text


def need_encodable(what: str, text: str, *, shown: str | None = None) -> None:
    """Check that a text can be passed to the system.

    Args:
        what: what the text is, for the error.
        text: the text.
        shown: what the error shows instead of the text.

    Raises:
        JobSpecError: the text has a NUL, or half of a surrogate pair.
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
    """Check that ``encoding`` can decode a job's output line by line.

    Raises:
        JobSpecError: Python does not know the encoding, or its line ends differ from those of ASCII.
    """
    try:
        codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)
        fit = _PLAIN.encode(encoding) == _PLAIN.encode("ascii")
    except (LookupError, TypeError, ValueError):
        fit = False
    if not fit:
        raise JobSpecError(
            f"The encoding {encoding!r} is unknown, or does not have the line ends of ASCII; "
            "give one such as 'utf-8' or 'latin-1'."
        )


def input_bytes(text: str | bytes, encoding: str = "utf-8") -> bytes:
    """Return the bytes for a job's standard input.

    Raises:
        JobSpecError: the input is neither text nor bytes, or could not be encoded.
    """
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    if not isinstance(text, str):
        raise JobSpecError(f"The input {text!r} is neither text nor bytes; give one such as 'yes\\n'.")
    try:
        # File names that are not UTF-8 pass as they are.
        return text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError as error:
        bad = text[error.start : error.end]
        raise JobSpecError(
            f"The input {text!r} has {bad!r}, which {encoding!r} does not encode; leave it out."
        ) from None
