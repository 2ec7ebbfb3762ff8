"""A generative adversarial network on handwritten digits."""
