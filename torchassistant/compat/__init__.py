"""Private names of torch, torchvision, NumPy and Python: all uses of them stand in this folder.

Each stands behind a function whose docstring says which name it is, what it is needed for, in which
versions it was looked at, and what is done where it is missing. ``tests/compat`` shows when a new
version has changed one. Import the modules, not this package: ``compat.python`` needs no torch.
"""
