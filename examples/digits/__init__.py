"""Handwritten digits: the first example to read."""
