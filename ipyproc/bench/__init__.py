"""The benchmark of ``%forkbench``."""
