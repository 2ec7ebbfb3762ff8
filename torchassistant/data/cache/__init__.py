"""The cache of a dataset: values as bytes, bytes as columns, columns in memory or on disk."""
