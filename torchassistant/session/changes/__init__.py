"""Changes of a session that exists: found, judged by the rules, and put into effect."""
