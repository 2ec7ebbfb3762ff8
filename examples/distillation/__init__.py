"""Distillation: a small student learns from a large teacher, in two stages of one run."""
