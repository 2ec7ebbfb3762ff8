"""A language model that carries its state from one batch to the next."""
