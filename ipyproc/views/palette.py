"""The colours of all views."""

from __future__ import annotations

__all__ = ["AMBER", "BLUE", "GREEN", "GREY", "RED"]

# Legible on white and on near-black. Glyphs tell the states apart as well.
BLUE, GREEN, RED, AMBER, GREY = "#2f7fd6", "#2a9d4a", "#d9483b", "#b8860b", "#808080"
