"""The user's interface to jobs: `Job`, `WorkerGroup`, and the table of all jobs."""
