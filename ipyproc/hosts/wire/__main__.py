"""``python -m ipyproc.hosts.wire``: see `ipyproc.hosts.wire.program`."""

from __future__ import annotations

import sys

from ipyproc.hosts.wire.program import main

sys.exit(main(sys.argv[1:]))
