"""The loop that trains a stage: which pipeline runs now, and when epochs end."""
