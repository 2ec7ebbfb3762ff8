"""Several processes that train one session: their world, their models, their checkpoints."""
