"""Files of a session: written whole or only added to, and known by size and SHA-256."""
