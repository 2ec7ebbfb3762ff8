"""The session folder: what stands where, under what it was written, and who trains it."""
