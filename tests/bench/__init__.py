"""What ipyproc costs, beside what others cost in the same run: ``python -m tests.bench``."""
