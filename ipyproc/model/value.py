"""`value`: a decorator for frozen data that is created often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_arguments):
        """Return a decorator that does nothing."""
        return lambda function: function


__all__ = ["value"]

Made = TypeVar("Made")


@dataclass_transform(frozen_default=True)
def value(cls: type[Made]) -> type[Made]:
    """Make a dataclass with slots that is compared and hashed by its fields, and must not be changed.

    Only the type checker rejects changes. ``dataclass(frozen=True)`` rejects them at run time as well, and
    takes five times as long to create an instance.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
