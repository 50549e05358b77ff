"""Latency histograms in bounded memory: buckets narrower than two percent, from 20 ps to hours."""

from __future__ import annotations

# Type checkers know this name; a worker does not need `collections.abc`.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BUCKETS", "bucket_of", "quantile"]

_UNIT_BITS = 6  # Units of 1/64 ns, since whole nanoseconds are too coarse for an operation of 50 ns.
_KEPT_BITS = 6
_LARGEST_BITS = 52  # 2 ** 46 ns, or 19 hours

BUCKETS = (_LARGEST_BITS - _KEPT_BITS + 1) << _KEPT_BITS
"""The number of buckets."""


def bucket_of(nanoseconds: int, operations: int) -> int:
    """Return the bucket of one operation, given how long several took together."""
    units = (nanoseconds << _UNIT_BITS) // operations
    shift = units.bit_length() - _KEPT_BITS - 1
    if shift <= 0:
        return units
    return min((shift << _KEPT_BITS) + (units >> shift), BUCKETS - 1)


def quantile(counts: Mapping[int, int], share: float) -> float:
    """Return the time in seconds within which a share of the operations was done.

    Args:
        counts: the number of operations in each bucket.
        share: the share, from 0 to 1; 0.5 for the median.
    """
    wanted = share * sum(counts.values())
    seen, bucket = 0, 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= wanted:
            break
    return _middle(bucket) / (1 << _UNIT_BITS) / 1e9


def _middle(bucket: int) -> float:
    shift = max(0, (bucket >> _KEPT_BITS) - 1)
    return (bucket - (shift << _KEPT_BITS) + 0.5) * (1 << shift)
