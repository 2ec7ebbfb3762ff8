"""How fast a session is, beside the loop that a person would write by hand."""
