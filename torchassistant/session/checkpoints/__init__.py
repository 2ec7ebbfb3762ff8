"""Checkpoints: what they hold, where they are stored, which stay, and which one is meant."""
