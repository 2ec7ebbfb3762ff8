"""A trained backbone learns a new task from few images."""
