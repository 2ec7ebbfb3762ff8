"""Training the stages that are left: what begins with each, and which columns it has."""
