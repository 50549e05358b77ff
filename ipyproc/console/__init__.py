"""The program ``ipyproc``: kept jobs for a person in a terminal, over ssh too."""
