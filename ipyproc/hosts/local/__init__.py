"""The host that runs jobs as children of this process, driven by its loop or by a stand-in thread."""

from __future__ import annotations

from ipyproc.hosts.local.listing import PsutilListing
from ipyproc.process.platform.processes import list_by

# Here, so that every import of this room sets it. It imports no psutil if the system has /proc.
list_by(PsutilListing())
