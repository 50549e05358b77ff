"""How long operations took, in buckets of under two percent: bounded memory, for 20 ps to hours."""

from __future__ import annotations

# Known to type checkers by its name: `collections.abc` is not needed by a worker.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BUCKETS", "bucket_of", "quantile"]

_UNIT_BITS = 6  # An operation of 50 ns is to be known to better than a whole nanosecond.
_KEPT_BITS = 6
_LARGEST_BITS = 52  # 2 ** 46 ns, or 19 hours

BUCKETS = (_LARGEST_BITS - _KEPT_BITS + 1) << _KEPT_BITS
"""How many there are."""


def bucket_of(nanoseconds: int, operations: int) -> int:
    """The bucket of one of some operations that took so long together."""
    units = (nanoseconds << _UNIT_BITS) // operations
    shift = units.bit_length() - _KEPT_BITS - 1
    if shift <= 0:
        return units
    return min((shift << _KEPT_BITS) + (units >> shift), BUCKETS - 1)


def quantile(counts: Mapping[int, int], share: float) -> float:
    """The time, in seconds, within which a share of the operations was done.

    Args:
        counts: how many operations each bucket has.
        share: from 0 to 1; 0.5 gives the median.
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
