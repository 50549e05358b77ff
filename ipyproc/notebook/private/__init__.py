"""All uses of private APIs of other packages in the notebook room, in one file per package.

Each file names the versions it was tried with, and each function says what happens without the API.
"""
