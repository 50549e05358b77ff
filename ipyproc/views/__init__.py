"""What shows a job: the views of it in cells, the table of jobs, and how each looks."""
