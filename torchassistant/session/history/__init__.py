"""The history of a session: rows, what is kept beside them, and which examples were met."""
