"""A Wasserstein GAN with gradient penalty on handwritten digits."""
