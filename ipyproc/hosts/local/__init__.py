"""The host that runs jobs as children of this process, driven by its loop or by who stands in for it."""

from __future__ import annotations

from ipyproc.hosts.local.listing import PsutilListing
from ipyproc.process.platform.processes import list_by

# Here, so that no module of this room can be had without it. It imports nothing where the system has /proc.
list_by(PsutilListing())
