"""Building the parts of a session: from which config, and with which weights and states."""
