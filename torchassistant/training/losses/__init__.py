"""Losses and metrics: their values, counts and weights, and their means over an epoch."""
