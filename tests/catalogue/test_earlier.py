"""Names of earlier releases: each leads to something that works, in code and in configs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from torchassistant import collators, losses
from torchassistant.earlier_names import METRICS, NAMES
from torchassistant.errors import DataError


def found(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def earlier(path: str) -> Any:
    return found(f"torchassistant.{path}")


@pytest.mark.parametrize("path", NAMES)
def test_an_earlier_name_is_what_it_is_called_here(path: str) -> None:
    assert found(path) is found(NAMES[path])


@pytest.mark.parametrize("path", NAMES.values())
def test_nothing_is_called_here_by_an_earlier_name(path: str) -> None:
    assert path not in NAMES
    module, _, name = path.rpartition(".")
    assert name in vars(importlib.import_module(module))


def test_other_names_are_missing_as_ever() -> None:
    with pytest.raises(ImportError, match="pad_sequence"):
        importlib.import_module("torchassistant.utils.pad_sequence")
    with pytest.raises(AttributeError, match=r"'torchassistant\.utils' has no attribute 'pad'"):
        earlier("utils.pad")


def test_padded_sequences_and_their_mask() -> None:
    padded, mask = earlier("utils.pad_sequences")([[5, 6, 7], (8,), []], 9)
    assert padded == [[5, 6, 7], [8, 9, 9], [9, 9, 9]]
    assert mask.mask.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert mask.lengths == [3, 1, 0]
    assert mask.to("cpu") is mask
    assert mask.device == torch.device("cpu")
    with pytest.raises(DataError, match="without sequences"):
        earlier("collators.pad_sequences")([], 0)


def test_sequences_are_padded_with_the_last_number_of_the_first() -> None:
    assert earlier("collators.seqs_to_tensor")([[1, 2], [3]]).tolist() == [[1, 2], [3, 2]]
    encoded = earlier("collators.SeqsToOneHot")(3)([[1, 2], [0]])
    assert encoded.tolist() == [[[0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 1]]]
    assert encoded.dtype == torch.float32
    with pytest.raises(ValueError, match="from 0 to 2"):
        earlier("collators.one_hot_tensor")([[3]], 3)
    with pytest.raises(DataError, match="empty"):
        earlier("collators.seqs_to_tensor")([[], [3]])


def test_columns_one_by_one() -> None:
    collate = earlier("collators.ColumnWiseCollator")(
        column_transforms=[
            earlier("collators.to_long_tensor"),
            earlier("collators.to_float_tensor"),
            earlier("collators.no_transform"),
            earlier("collators.stack_tensors"),
        ]
    )
    assert isinstance(collate, collators.ColumnWise)
    longs, floats, lists, stacked = collate([(1, 2, [3], torch.ones(2)), (4, 5, [], torch.ones(2))])
    assert longs.dtype == torch.int64
    assert floats.dtype == torch.float32
    assert lists == [[3], []]
    assert stacked.shape == (2, 2)
    images = [torch.zeros(1, 2, 2, dtype=torch.uint8)] * 3
    assert earlier("collators.images_to_tensor")(images).shape == (3, 1, 2, 2)


def test_base_classes_leave_one_method_to_their_subclasses() -> None:
    class Shout(earlier("preprocessors.ValuePreprocessor"), earlier("utils.Serializable")):  # type: ignore[misc]
        def process(self, value: str) -> str:
            return value.upper()

    class Count(earlier("collators.BaseCollator")):  # type: ignore[misc]
        def __call__(self, batch: Any) -> int:
            return len(batch)

    shout = Shout()
    shout.fit([])
    shout.load_state_dict(shout.state_dict())
    assert shout("a") == "A"
    assert shout.wrap_preprocessor(lambda value: value + "!")("a") == "A!"
    assert Count().collate_inputs(1, 2, 3) == 3
    with pytest.raises(NotImplementedError, match="ValuePreprocessor has no process"):
        earlier("preprocessors.ValuePreprocessor")()("a")
    with pytest.raises(NotImplementedError, match="BaseCollator has no __call__"):
        earlier("collators.BaseCollator")()([])


def test_preprocessors_know_the_column_by_its_earlier_name() -> None:
    text = earlier("preprocessors.TextPreprocessor")(fit_index=1)
    text.fit([(0, "one two"), (0, "two")])
    assert text.num_classes == text.num_words == 5
    assert text("two, one; three") == [0, 4, 3, 2, 1]
    assert text.decode([*text("two one"), 4]) == "two one"
    assert text.decode([3, 99]) == "one <OOV>"
    assert text.index2word[text.word_indices["one"]] == "one"
    again = type(text)(1)
    again.load_state_dict(json.loads(json.dumps(text.state_dict())))
    assert again("two") == text("two") == [0, 4, 1]
    with pytest.raises(DataError, match="no words yet"):
        type(text)(0)("two")
    with pytest.raises(DataError, match="needs a text, found int"):
        text(2)
    image = earlier("preprocessors.ImagePreprocessor")(fit_index=0)
    image.fit([(torch.arange(4.0).reshape(1, 2, 2),)])
    assert image(torch.full((1, 2, 2), 1.5)).tolist() == [[[0, 0], [0, 0]]]
    assert earlier("preprocessors.SimpleNormalizer")()(51) == 0.2


def test_a_loss_takes_both_kinds_of_masks() -> None:
    _, mask = earlier("utils.pad_sequences")([[1, 2], [1]], 0)
    scores, targets = torch.randn(2, 2, 4), torch.tensor([[1, 2], [1, 0]])
    loss = earlier("loss_functions.MaskedCrossEntropy")(reduction="sum", label_smoothing=0.4)
    ours = losses.MaskedCrossEntropy(reduction="sum", label_smoothing=0.4)
    assert torch.equal(loss(scores, targets, mask), ours(scores, targets, mask.mask))
    assert torch.equal(loss(scores, targets, mask.mask), ours(scores, targets, mask.mask))
    assert int(loss.count(scores, targets, mask)) == 3


def test_text_is_decoded_by_whichever_preprocessor_can() -> None:
    text = earlier("preprocessors.TextPreprocessor")(0)
    text.fit(["red green"])
    plain = SimpleNamespace(preprocessors=[])
    known = SimpleNamespace(preprocessors=[None, text])
    session = SimpleNamespace(datasets={"plain": plain, "bare": object(), "known": known})
    scores = torch.eye(5)[torch.tensor([[4, 3, 1, 4]])]
    decode = earlier("transforms.DecodeText")(session)
    for truth in ([[3, 1]], torch.tensor([[3, 1]])):
        assert decode(scores, truth) == (["green red"], ["red"])
    with pytest.raises(DataError, match="decode"):
        earlier("transforms.DecodeText")(SimpleNamespace(datasets={"plain": plain}))


def test_metrics_of_scores() -> None:
    scores, classes = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([1, 1])
    for name, expected in (("accuracy", 0.5), ("accuracy %", 50)):
        metric = found(METRICS[name])()
        metric.update(scores, classes)
        assert metric.compute() == expected
    with pytest.raises(DataError, match=r"scores \(batch, classes\)"):
        metric.update(classes, classes)


def test_classes_and_functions_by_their_paths() -> None:
    assert earlier("utils.instantiate_class")("fractions.Fraction", 1, denominator=2) == 0.5
    assert earlier("utils.import_function")("math.sqrt")(4) == 2
    for wrong, told in (("sqrt", "no dot"), ("math.sqrd", "sqrd"), ("mathe.sqrt", "mathe")):
        with pytest.raises(ImportError, match=told):
            earlier("utils.import_entity")(wrong)


def test_a_preprocessor_that_learns_in_a_method_of_its_own() -> None:
    class Largest(earlier("preprocessors.TrainablePreprocessor")):  # type: ignore[misc]
        def _do_fit(self, column: Any) -> Any:
            self.largest = 0
            for value in column:
                self.largest = max(self.largest, value)
                yield value

    largest = Largest(1)
    largest.fit([("a", 3), ("b", 5), ("c", 1)])
    assert largest.largest == 5
    with pytest.raises(NotImplementedError, match="_do_fit"):
        earlier("preprocessors.TrainablePreprocessor")(0).fit([1])


def test_base_classes_around_models() -> None:
    frame = {"x": torch.ones(1)}
    assert earlier("processing_graph.BatchProcessor")()(frame) is frame
    with pytest.raises(NotImplementedError, match="OutputAdapter has no __call__"):
        earlier("output_adapters.OutputAdapter")()(frame)


def test_a_line_of_progress() -> None:
    assert earlier("formatters.ProgressBar")().updated(1, 4, cols=8) == "==>......"


def test_images_are_saved_as_they_were_before_normalisation(tmp_path: Path) -> None:
    def bytes_of(save: Any, data: Tensor | dict[str, Tensor], folder: Path) -> list[bytes]:
        save(data)
        return [file.read_bytes() for file in sorted(folder.iterdir())]

    save = earlier("output_devices.SaveAsImages")(tmp_path / "a", mean=0.25, std=0.5)
    ours = earlier("output_devices.SaveImages")(tmp_path / "b")
    image = torch.rand(2, 3, 4, 4)
    normal = (image - 0.25) / 0.5
    saved = bytes_of(save, normal, tmp_path / "a")
    assert saved == bytes_of(ours, normal * 0.5 + 0.25, tmp_path / "b")
    assert len(bytes_of(save, {"x": normal}, tmp_path / "a")) == 2


def test_the_adapter_gives_a_model_the_first_column() -> None:
    adapt = earlier("adapters.DefaultInputAdapter")("net")
    assert adapt({"input_1": 1, "input_2": 2}) == {"net": {"input_1": 1}}
