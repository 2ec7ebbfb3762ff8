"""A step of training: gradients from batches, and new parameters from gradients."""
