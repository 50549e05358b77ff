"""The shells over which tests run, each as one writes it."""

from __future__ import annotations

import pytest

SHELLS = ["bash", "dash", "zsh", "busybox sh"]

each_shell = pytest.mark.parametrize("shell", SHELLS)
