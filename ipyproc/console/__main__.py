"""``python -m ipyproc.console``: the program ``ipyproc``."""

from __future__ import annotations

import sys

from ipyproc.console.main import main

sys.exit(main())
