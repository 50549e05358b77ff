"""Browser tests need a Chromium; where it is obligatory, its absence is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.browser.lab import Lab, chromium, lab


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab for the tests of a module; each opens a notebook of its own."""
    if chromium() is None:
        if os.environ.get("IPYPROC_BROWSER") == "required":
            pytest.fail("no Chromium was found, and IPYPROC_BROWSER=required says that there must be one")
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with lab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened
