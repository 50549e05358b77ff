"""Views of jobs in cells, the table of jobs, and their rendering."""
