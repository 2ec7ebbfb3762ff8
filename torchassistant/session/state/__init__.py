"""The state of a run: taken from live objects, stored under ids that stay, and put back."""
