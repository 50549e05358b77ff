"""The host that runs jobs as children of this process, driven by its loop or by who stands in for it."""
