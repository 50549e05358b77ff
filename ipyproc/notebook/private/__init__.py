"""What other packages do not promise: touched here, in one file a package, and nowhere else in the notebook.

Each file says with which versions it was tried, and each use what happens where a version lacks it.
"""
