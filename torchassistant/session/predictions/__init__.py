"""Predictions: for what a person gives, and for all the data of a pipeline."""
