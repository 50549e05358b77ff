"""How the pieces of an output are noted: where each begins, when it came, and on which stream."""

from __future__ import annotations

import struct

__all__ = ["INDEX_BYTES", "RECORD"]

RECORD = struct.Struct("<QdB")
"""The offset of a piece's first byte, its time, its stream. A piece ends where the next one begins."""

INDEX_BYTES = 64 << 20
"""The bytes of such records to keep."""
