"""`value`: frozen data that is made often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_arguments):
        """Return what leaves a function as it is."""
        return lambda function: function


__all__ = ["value"]

Made = TypeVar("Made")


@dataclass_transform(frozen_default=True)
def value(cls: type[Made]) -> type[Made]:
    """Make a dataclass with slots that is compared and hashed by its fields, and changed by nobody.

    It is the type checker that refuses a change: ``dataclass(frozen=True)`` refuses it at run time as well,
    and takes five times as long to make an instance.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
