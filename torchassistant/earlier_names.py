"""Names of earlier releases, and what is called so here. No other place knows both.

Python asks by a module's ``__getattr__``, a config by ``config/aliases.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

PACKAGE = "torchassistant"

NAMES = {
    f"{PACKAGE}.{earlier}": f"{PACKAGE}.{ours}"
    for earlier, ours in {
        "adapters.DefaultInputAdapter": "earlier.DefaultInputAdapter",
        "collators.BaseCollator": "earlier.BaseCollator",
        "collators.CollationError": "errors.DataError",
        "collators.ColumnWiseCollator": "earlier.ColumnWiseCollator",
        "collators.SeqsToOneHot": "earlier.SeqsToOneHot",
        "collators.images_to_tensor": "earlier.images_to_tensor",
        "collators.no_transform": "earlier.no_transform",
        "collators.one_hot_tensor": "earlier.one_hot_tensor",
        "collators.pad_sequences": "earlier.pad_sequences",
        "collators.seqs_to_tensor": "earlier.seqs_to_tensor",
        "collators.stack_tensors": "collators.stack_column",
        "collators.to_float_tensor": "earlier.to_float_tensor",
        "collators.to_long_tensor": "earlier.to_long_tensor",
        "formatters.ProgressBar": "earlier.ProgressBar",
        "loss_functions.MaskedCrossEntropy": "earlier.MaskedCrossEntropy",
        "output_adapters.OutputAdapter": "earlier.OutputAdapter",
        "output_devices.SaveAsImages": "earlier.SaveAsImages",
        "preprocessors.ImagePreprocessor": "earlier.ImagePreprocessor",
        "preprocessors.NullProcessor": "preprocessors.NullPreprocessor",
        "preprocessors.SimpleNormalizer": "earlier.SimpleNormalizer",
        "preprocessors.TextPreprocessor": "earlier.TextPreprocessor",
        "preprocessors.TrainablePreprocessor": "earlier.TrainablePreprocessor",
        "preprocessors.ValuePreprocessor": "earlier.ValuePreprocessor",
        "processing_graph.BatchProcessor": "earlier.BatchProcessor",
        "processing_graph.DetachBatch": "batch_processors.DetachBatch",
        "transforms.DecodeText": "earlier.DecodeText",
        "utils.Mask": "earlier.Mask",
        "utils.Serializable": "earlier.Serializable",
        "utils.import_entity": "earlier.import_entity",
        "utils.import_function": "earlier.import_entity",
        "utils.instantiate_class": "earlier.instantiate_class",
        "utils.pad_sequences": "earlier.pad_sequences",
    }.items()
}
"""The path in earlier releases → the path here."""

METRICS = {
    "accuracy": f"{PACKAGE}.earlier.ArgmaxAccuracy",
    "accuracy %": f"{PACKAGE}.earlier.ArgmaxAccuracyPercent",
}
"""What configs call metrics that have no path → the path here."""


def answering_for(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that had these names.

    Args:
        module: Its full name.
    """

    def answer(name: str) -> Any:
        path = NAMES.get(f"{module}.{name}")
        if path is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)
        home, _, ours = path.rpartition(".")
        return getattr(import_module(home), ours)

    return answer
