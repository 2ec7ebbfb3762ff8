"""What evaluation and inference configs ask of a session."""
