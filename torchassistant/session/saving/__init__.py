"""Saving a run while it is trained: when that is due, and what waits for the disk."""
