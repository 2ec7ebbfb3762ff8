"""What holds for every class of the catalogue: one table, which must name all of them."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import pytest

COLUMN = {"class": "Stack"}

ARGUMENTS = {
    "adapters": {"SelectInputs": {"nodes": {"LeNet5": {"x": "images"}}}},
    "batch_processors": {"DetachBatch": {}},
    "collators": {
        "BatchDivide": {},
        "ColumnWise": {"transforms": [None]},
        "DefaultCollator": {},
        "ImagesToTensor": {},
        "OneHot": {"num_classes": 10},
        "Pad": {"padding_value": 0},
        "PadSequences": {"padding_value": 0, "columns": [0, 1]},
        "Stack": {},
        "StackTensors": {},
    },
    "callbacks.gradient_norms": {"GradientNorms": {"optimizers": ["adam"]}},
    "earlier": {
        "ArgmaxAccuracy": {},
        "ArgmaxAccuracyPercent": {},
        "BaseCollator": {},
        "BatchProcessor": {},
        "ColumnWiseCollator": {"column_transforms": [None]},
        "DecodeText": {"session": None},
        "DefaultInputAdapter": {"model_name": "net"},
        "ImagePreprocessor": {"fit_index": 0},
        "Mask": {"lengths": [1, 2], "max_length": 2},
        "MaskedCrossEntropy": {"padding_value": 0, "reduction": "sum", "label_smoothing": 0.1},
        "OutputAdapter": {},
        "ProgressBar": {},
        "SaveAsImages": {"destination_folder": "images", "mean": 0.5, "std": 0.5},
        "SeqsToOneHot": {"num_classes": 3},
        "Serializable": {},
        "SimpleNormalizer": {},
        "TextPreprocessor": {"fit_index": 0},
        "TrainablePreprocessor": {"fit_index": 0},
        "ValuePreprocessor": {},
    },
    "input_converters": {
        "ImageFile": {"mode": "L", "size": [28, 28]},
        "JsonValue": {},
        "Text": {},
    },
    "callbacks.learning_rate_monitor": {"LearningRateMonitor": {"optimizers": ["adam"]}},
    "callbacks.loggers": {
        "MLflow": {"folder": "mlflow", "experiment": "digits", "name": "first"},
        "TensorBoard": {"folder": "runs", "name": "first"},
        "Trackio": {"folder": "trackio", "project": "digits", "name": "first"},
    },
    "losses": {
        "KLDistillation": {"temperature": 4.0},
        "FeatureMatching": {},
        "GradientPenalty": {},
        "MaskedCrossEntropy": {"padding_value": 0, "reduction": "mean", "label_smoothing": 0.1},
    },
    "metrics": {
        "Accuracy": {},
        "MeanValue": {},
        "SequenceAccuracy": {"padding_value": 0, "end_value": 2},
    },
    "callbacks.model_checkpoint": {
        "ModelCheckpoint": {
            "models": ["net"],
            "event": "epoch_end",
            "every": 2,
            "monitor": "loss",
            "mode": "min",
            "keep_last": 3,
        }
    },
    "output_adapters": {
        "IdentityAdapter": {},
        "RenameVariables": {"names": {"x": "y"}},
        "SelectVariables": {"names": ["x", "y"]},
    },
    "output_devices": {
        "JsonLines": {"path": "out.jsonl"},
        "Printer": {},
        "SaveImages": {"folder": "samples", "columns": 4, "prefix": "gan_"},
    },
    "postprocessors": {
        "BestClass": {"session": "one", "column": "scores", "names": ["cat", "dog"]},
        "DecodedText": {"session": "one", "column": "words", "tokenizer": "words_of"},
    },
    "preprocessors": {
        "ImageNormalizer": {"column": 0},
        "NullPreprocessor": {},
        "TextTokenizer": {
            "column": 1,
            "start": "<s>",
            "end": "</s>",
            "unknown": "<unk>",
            "padding": "<pad>",
            "lowercase": True,
            "max_words": 100,
        },
    },
    "callbacks.samples": {
        "Samples": {
            "pipeline": "show",
            "every": 2,
            "examples": 16,
            "columns": ["image", "label", "y_hat"],
            "images": ["image"],
        }
    },
    "stop_conditions": {
        # The conditions inside are objects of the config too; the builder makes them first.
        "AllOf": {"conditions": [{"class": "EpochsCompleted", "kwargs": {"num_epochs": 1}}]},
        "AnyOf": {"conditions": [{"class": "EpochsCompleted", "kwargs": {"num_epochs": 1}}]},
        "EarlyStopping": {"monitor": "loss", "min_delta": 0.1, "patience": 3, "mode": "min"},
        "EpochsCompleted": {"num_epochs": 3},
        "IterationsCompleted": {"num_iterations": 100},
        "TargetReached": {"monitor": "accuracy", "target": 0.97, "mode": "max"},
        "TimeElapsed": {"seconds": 1, "minutes": 2, "hours": 0.5},
    },
    "tabular": {
        "Categories": {"column": 1},
        "NumberNormalizer": {"column": -1},
    },
    # Functions only.
    "transforms": {},
    "weights": {
        "CosineRamp": {"start": 0, "end": 1, "steps": 10},
        "LinearRamp": {"start": 0, "end": 1, "steps": 10},
        "PiecewiseConstant": {"values": {"0": 0, "10": 1}},
    },
}
CASES = [(module, name) for module, classes in ARGUMENTS.items() for name in classes]
each_module = pytest.mark.parametrize("module", ARGUMENTS)
each_class = pytest.mark.parametrize(("module", "name"), CASES)


def load(module):
    return importlib.import_module(f"torchassistant.{module}")


def classes_of(module):
    """The classes that a config can name: public ones that the module itself defines."""
    loaded = load(module)
    return {
        name
        for name, value in vars(loaded).items()
        if inspect.isclass(value) and value.__module__ == loaded.__name__ and name[0] != "_"
    }


def built(module, value):
    """What the builder would make of arguments: an object of the config becomes an object."""
    if isinstance(value, dict) and "class" in value:
        return getattr(load(module), value["class"])(**value.get("kwargs", {}))
    if isinstance(value, list):
        return [built(module, item) for item in value]
    return value


def make(module, name):
    arguments = json.loads(json.dumps(ARGUMENTS[module][name]))
    arguments = {key: built(module, value) for key, value in arguments.items()}
    if "session" in arguments:
        words_of = load("preprocessors").TextTokenizer()
        arguments["session"] = SimpleNamespace(
            datasets={"texts": SimpleNamespace(preprocessors=[words_of])},
            preprocessors={"words_of": words_of},
        )
    return getattr(load(module), name)(**arguments)


@each_module
def test_the_table_names_every_class(module):
    assert set(ARGUMENTS[module]) == classes_of(module)


@each_class
def test_every_argument_of_a_class_stands_in_the_table(module, name):
    signature = inspect.signature(getattr(load(module), name).__init__)
    named = {
        parameter.name
        for parameter in list(signature.parameters.values())[1:]
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    assert named == set(ARGUMENTS[module][name])


@each_class
def test_it_is_made_from_json_and_passes_to_another_process(module, name):
    made = make(module, name)
    assert type(made) is getattr(load(module), name)
    # Loaders with workers send collators and preprocessors to processes that were spawned.
    copied = ForkingPickler.loads(ForkingPickler.dumps(made))
    assert type(copied) is type(made)


@each_class
def test_what_it_does_is_written_down(module, name):
    made = getattr(load(module), name)
    public = {
        key: value
        for key, value in vars(made).items()
        if inspect.isfunction(value) and (key == "__call__" or not key.startswith("_"))
    }
    missing = [key for key, value in {name: made, **public}.items() if not value.__doc__]
    assert not missing


@each_class
def test_every_argument_is_annotated_and_described(module, name):
    made = getattr(load(module), name)
    parameters = inspect.signature(made.__init__).parameters
    for parameter in list(parameters.values())[1:]:
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert parameter.annotation is not parameter.empty
            assert f"{parameter.name}: " in made.__doc__, parameter.name


@each_module
def test_a_class_is_called_or_has_the_methods_of_its_kind(module):
    expected = {
        "callbacks.gradient_norms": ["on_backward_end"],
        "callbacks.learning_rate_monitor": ["on_epoch_end"],
        "callbacks.samples": ["on_epoch_end"],
        "callbacks.model_checkpoint": ["on_epoch_end", "state_dict", "load_state_dict"],
        "preprocessors": ["process"],
        "tabular": ["process"],
        "earlier": [],
        "callbacks.loggers": ["on_train_start", "on_checkpoint"],
        "metrics": ["update", "compute", "reset"],
    }
    for name in ARGUMENTS[module]:
        for method in expected.get(module, ["__call__"]):
            assert callable(getattr(make(module, name), method, None)), name


def test_importing_the_catalogue_imports_nothing_heavy():
    names = [f"torchassistant.{module}" for module in ARGUMENTS]
    heavy = ["torchvision", "torchmetrics", "pandas", "PIL", "matplotlib", "pydantic"]
    code = (
        "import importlib, sys\n"
        "import torch\n"
        "before = set(sys.modules)\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print([name for name in {heavy!r} if name in set(sys.modules) - before])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr
