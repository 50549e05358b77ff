"""Run processes from a notebook."""
