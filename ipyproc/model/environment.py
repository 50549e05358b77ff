"""The changes of a job's environment, as a spec holds them."""

from __future__ import annotations

from collections.abc import Mapping

from ipyproc.errors import JobSpecError
from ipyproc.model.text import need_encodable

__all__ = ["checked_environment"]


def checked_environment(changes: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """The changes of an environment, as a spec holds them.

    Raises:
        JobSpecError: they are no mapping, or a variable cannot be.
    """
    if changes is not None and not isinstance(changes, Mapping):
        raise JobSpecError(f"The environment {changes!r} is not a dict; give one such as {{'MODE': 'fast'}}.")
    checked = (
        {}
        if changes is None
        else {str(key): None if value is None else str(value) for key, value in changes.items()}
    )
    for key, value in checked.items():
        if not key or "=" in key:
            raise JobSpecError(
                f"The environment variable {key!r} has no name, or a '=' in it; give one such as 'MODE'."
            )
        need_encodable("The environment variable", key)
        # It may be a secret.
        need_encodable("The value of the environment variable", value or "", shown=key)
    return checked
