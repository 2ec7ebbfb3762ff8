"""Running pipelines without training them: evaluation, validation, inference, debug pipelines."""
