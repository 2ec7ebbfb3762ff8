"""Evaluating what a session has trained, and keeping the predictions of an evaluation."""
