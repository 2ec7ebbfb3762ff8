"""What projects of earlier releases build on, and nothing else here needs.

They import these under other names, which are in ``earlier_names``; ``docs/earlier.md`` says what
new projects use in their place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from torchassistant import losses
from torchassistant.adapters import SelectInputs
from torchassistant.collators import (
    ColumnTransform,
    ColumnWise,
    ImagesToTensor,
    pad_column,
    stack_column,
)
from torchassistant.errors import DataError
from torchassistant.fitting import check_keys, checked_column, column_of
from torchassistant.frames import Frame
from torchassistant.metrics import Accuracy
from torchassistant.output_devices import SaveImages
from torchassistant.preprocessors import ImageNormalizer


class Serializable:
    """A base class of what has a state, with an empty one."""

    def state_dict(self) -> dict[str, Any]:
        """The state; of this class an empty dict."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Args:
            state_dict: The state.
        """


# Objects by their names


def import_entity(dotted_path: str) -> Any:
    """What a module has under a name.

    Args:
        dotted_path: ``MODULE.NAME``.

    Raises:
        ImportError: There is no such module, or it has no such name.
    """
    home, _, name = dotted_path.rpartition(".")
    if not home:
        raise ImportError(f'"{dotted_path}" has no dot: MODULE.NAME is expected')
    try:
        return getattr(import_module(home), name)
    except AttributeError as error:
        raise ImportError(str(error)) from error


def instantiate_class(dotted_path: str, *args: Any, **kwargs: Any) -> Any:
    """An object of a class.

    Args:
        dotted_path: ``MODULE.CLASS``.
        args: What it is made with.
        kwargs: What it is made with, by name.

    Raises:
        ImportError: There is no such class.
    """
    return import_entity(dotted_path)(*args, **kwargs)


# Sequences


class Mask:
    """Where sequences of a batch are, and where their padding.

    Args:
        lengths: The lengths of the B sequences.
        max_length: T, the length that they were padded to.

    Attributes:
        mask: bool (B, T), true in sequences.
        lengths: As given.
    """

    def __init__(self, lengths: Sequence[int], max_length: int) -> None:
        self.lengths = lengths
        self.mask = torch.arange(max_length) < torch.tensor(list(lengths))[:, None]

    @property
    def device(self) -> torch.device:
        """Where the mask is."""
        return self.mask.device

    def to(self, device: torch.device | str) -> Mask:
        """Move the mask, in place.

        Args:
            device: Where to.
        """
        self.mask = self.mask.to(device)
        return self


def pad_sequences(seqs: Sequence[Sequence[Any]], filler: Any) -> tuple[list[list[Any]], Mask]:
    """Bring sequences to the length of the longest.

    Args:
        seqs: B sequences of anything.
        filler: What stands behind the end of shorter ones.

    Returns:
        B lists of one length, and where in them the sequences are.

    Raises:
        DataError: There are no sequences.
    """
    lengths = [len(one) for one in seqs]
    if not lengths:
        raise DataError("pad_sequences cannot pad a batch without sequences")
    longest = max(lengths)
    padded = [[*one, *[filler] * (longest - len(one))] for one in seqs]
    return padded, Mask(lengths, longest)


def seqs_to_tensor(token_lists: Sequence[Sequence[int]]) -> Tensor:
    """Pad lists of numbers with the last number of the first one.

    Args:
        token_lists: B lists of integers, the first of which is not empty.

    Returns:
        A tensor (B, T), int64.

    Raises:
        DataError: The first list is empty, or a list holds something else.
    """
    return pad_column(token_lists, _last_of_first(token_lists)).long()


def one_hot_tensor(classes: Sequence[Sequence[int]], num_classes: int) -> Tensor:
    """Turn class numbers into zeros and ones.

    Args:
        classes: B lists of T class numbers.
        num_classes: C: how many classes there are.

    Returns:
        A tensor (B, T, C), float32.

    Raises:
        ValueError: A number is no class.
        DataError: The lists differ in length.
    """
    numbers = stack_column(list(classes)).long()
    if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < num_classes:
        raise ValueError(f"every class must be a number from 0 to {num_classes - 1}")
    return one_hot(numbers, num_classes).float()


def _last_of_first(token_lists: Sequence[Sequence[int]]) -> int:
    if not token_lists or not len(token_lists[0]):
        raise DataError("sequences are padded with the last number of the first, which is empty")
    return token_lists[0][-1]


# Collators


class BaseCollator(Serializable):
    """A base class of collators; the method ``__call__`` is the subclass's."""

    def __call__(self, batch: Sequence[Any]) -> Any:
        """Collate examples.

        Args:
            batch: B examples.
        """
        raise NotImplementedError(f"{type(self).__name__} has no __call__")

    def collate_inputs(self, *inputs: Any) -> Any:
        """Collate single examples, without targets.

        Args:
            inputs: The examples.
        """
        return self(inputs)


class ColumnWiseCollator(ColumnWise):
    """``ColumnWise`` with another name of its argument.

    Args:
        column_transforms: One callable a column.
    """

    def __init__(self, column_transforms: Sequence[ColumnTransform | None]) -> None:
        super().__init__(column_transforms)


class SeqsToOneHot:
    """Column transform: lists of numbers, padded, become zeros and ones (B, T, ``num_classes``).

    Args:
        num_classes: How many numbers there are.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def __call__(self, token_lists: Sequence[Sequence[int]]) -> Tensor:
        """Pad with the last number of the first list, and encode.

        Raises:
            DataError: The first list is empty.
            ValueError: A number is too large.
        """
        padded, _ = pad_sequences(token_lists, _last_of_first(token_lists))
        return one_hot_tensor(padded, self.num_classes)


def no_transform(column: Any) -> Any:
    """Column transform: leaves the column as it is.

    Args:
        column: The column.
    """
    return column


def to_long_tensor(numbers: Sequence[int]) -> Tensor:
    """Column transform: numbers become an int64 tensor (B,).

    Args:
        numbers: B integers.
    """
    return torch.tensor(numbers, dtype=torch.int64)


def to_float_tensor(numbers: Sequence[float]) -> Tensor:
    """Column transform: numbers become a float32 tensor (B,).

    Args:
        numbers: B numbers.
    """
    return torch.tensor(numbers, dtype=torch.float32)


def images_to_tensor(images: Sequence[Any]) -> Tensor:
    """Column transform: images of one size become a float32 tensor (B, C, H, W) in [0, 1].

    Args:
        images: B images, as ``ImagesToTensor`` takes them.
    """
    return ImagesToTensor()(images)


# Preprocessors


class ValuePreprocessor:
    """A base class of preprocessors, which override ``process``; called like a function."""

    def fit(self, dataset: Any) -> None:
        """Learn from a dataset; of this class nothing.

        Args:
            dataset: The examples.
        """

    def process(self, value: Any) -> Any:
        """Preprocess a value; the subclass's.

        Args:
            value: The value.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process")

    def __call__(self, value: Any) -> Any:
        """The same as ``process``."""
        return self.process(value)

    def wrap_preprocessor(self, preprocessor: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A function that applies another preprocessor, and then this one.

        Args:
            preprocessor: The other one.
        """
        return lambda value: self.process(preprocessor(value))


class SimpleNormalizer(ValuePreprocessor):
    """Divides by 255."""

    def process(self, value: Any) -> Any:
        """Divide a number, tensor or array.

        Args:
            value: What is divided.
        """
        return value / 255


class ImagePreprocessor(ImageNormalizer, ValuePreprocessor):
    """``ImageNormalizer`` with another name of its argument.

    Args:
        fit_index: The column, from 0, of the dataset that holds the images.
    """

    def __init__(self, fit_index: int) -> None:
        super().__init__(fit_index)


class TrainablePreprocessor(ValuePreprocessor):
    """A base class of preprocessors that learn from one column, in the subclass's ``_do_fit``.

    Args:
        fit_index: The column, from 0, of the dataset.
    """

    def __init__(self, fit_index: int) -> None:
        self.fit_index = checked_column(fit_index)

    def fit(self, dataset: Any) -> None:
        """Learn from the column of all examples, in order.

        Args:
            dataset: The examples.

        Raises:
            DataError: The dataset is empty, or lacks the column.
        """
        for _ in self._do_fit(column_of(dataset, self.fit_index, type(self).__name__)):
            pass

    def _do_fit(self, column: Iterator[Any]) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no _do_fit")


class TextPreprocessor(TrainablePreprocessor):
    """Turns a text into the numbers of its words, with those of a start and an end around them.

    Words are letters, digits and underscores in a row. Number 0 is the start, 1 the end, 2 a word
    that is not known; the words follow from 3 on, in the order in which they are met.

    Args:
        fit_index: The column, from 0, of the dataset that holds the texts.

    Attributes:
        word_indices: Word → number.
        index2word: Number → word.
    """

    sentence_start = "<start>"
    sentence_end = "<end>"
    out_of_vocab = "<OOV>"

    def __init__(self, fit_index: int) -> None:
        super().__init__(fit_index)
        self.word_indices: dict[str, int] = {}
        self.index2word: dict[int, str] = {}

    @property
    def num_words(self) -> int:
        """How many numbers there are, those of special words among them."""
        return len(self.word_indices)

    @property
    def num_classes(self) -> int:
        """The same as ``num_words``."""
        return self.num_words

    def _do_fit(self, column: Iterator[Any]) -> Iterator[Any]:
        words = [self.sentence_start, self.sentence_end, self.out_of_vocab]
        for text in column:
            words += _words_of(text)
            yield text
        self._number(words)

    def process(self, value: str) -> list[int]:
        """The numbers of the words of a text, between those of start and end.

        Args:
            value: The text.

        Raises:
            DataError: Nothing was fitted yet, or it is no text.
        """
        words = [self.sentence_start, *_words_of(value), self.sentence_end]
        return [self.encode_word(word) for word in words]

    def encode_word(self, word: str) -> int:
        """The number of a word.

        Args:
            word: Any word, or one of the three special ones.

        Raises:
            DataError: Nothing was fitted yet.
        """
        if not self.word_indices:
            raise DataError(
                f'{type(self).__name__} has no words yet: its "fit" must name the dataset to '
                "collect them from"
            )
        return self.word_indices.get(word, self.word_indices[self.out_of_vocab])

    def decode_token(self, token: int) -> str:
        """The word of a number; ``out_of_vocab`` where there is none.

        Args:
            token: The number.
        """
        return self.index2word.get(int(token), self.out_of_vocab)

    def decode(self, tokens: Iterable[int]) -> str:
        """The words of these numbers, with one space between, up to the end number if there is one.

        Args:
            tokens: Integers; that of the start is left out.
        """
        words = takewhile(self.sentence_end.__ne__, map(self.decode_token, tokens))
        return " ".join(word for word in words if word != self.sentence_start)

    def state_dict(self) -> dict[str, Any]:
        """``words``: the words in their order, the special ones included."""
        return {"words": list(self.word_indices)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Args:
            state_dict: The state.

        Raises:
            DataError: ``words`` is missing.
        """
        check_keys(type(self).__name__, state_dict, ("words",))
        self._number(state_dict["words"])

    def _number(self, words: Iterable[str]) -> None:
        self.word_indices = {word: number for number, word in enumerate(dict.fromkeys(words))}
        self.index2word = {number: word for word, number in self.word_indices.items()}


def _words_of(text: Any) -> list[str]:
    if not isinstance(text, str):
        raise DataError(f"TextPreprocessor needs a text, found {type(text).__name__}")
    return re.findall(r"\w+", text)


class ProgressBar:
    """Draws how far something is, in one line."""

    def updated(
        self, step: int, num_steps: int, fill: str = "=", empty: str = ".", cols: int = 20
    ) -> str:
        """The line.

        Args:
            step: So much is done.
            num_steps: Of so much.
            fill: One character of what is done.
            empty: One character of the rest.
            cols: The length of the line, without the tip.
        """
        done = int(step / num_steps * cols)
        return f"{fill * done}>{empty * (cols - done)}"


# Around models


class MaskedCrossEntropy(losses.MaskedCrossEntropy):
    """The loss of this name in ``torchassistant.losses``, which takes a ``Mask`` too.

    Args:
        padding_value: As there.
        reduction: As there.
        label_smoothing: As there.
    """

    def forward(
        self, predictions: Tensor, targets: Tensor, mask: Tensor | Mask | None = None
    ) -> Tensor:
        """Compute the loss.

        Args:
            predictions: As there.
            targets: As there.
            mask: As there, or a ``Mask``.
        """
        return super().forward(predictions, targets, _tensor_of(mask))

    def count(
        self, predictions: Tensor, targets: Tensor, mask: Tensor | Mask | None = None
    ) -> Tensor:
        """How many positions count.

        Args:
            predictions: As there.
            targets: As there.
            mask: As there, or a ``Mask``.
        """
        return super().count(predictions, targets, _tensor_of(mask))


class ArgmaxAccuracy(Accuracy):
    """The share of examples whose highest score is that of their class."""

    def update(self, predictions: Any, targets: Any) -> None:
        """Count the right examples of a batch.

        Args:
            predictions: Scores (B, C, ...).
            targets: Class numbers (B, ...).

        Raises:
            DataError: The shapes are others.
        """
        if not isinstance(predictions, Tensor) or predictions.ndim < 2:
            raise DataError("ArgmaxAccuracy needs scores (batch, classes)")
        super().update(predictions.argmax(1), targets)


class ArgmaxAccuracyPercent(ArgmaxAccuracy):
    """The same, 0 to 100."""

    def compute(self) -> Tensor:
        """The share in percent, a float scalar; NaN without elements."""
        return super().compute() * 100


def _tensor_of(mask: Tensor | Mask | None) -> Tensor | None:
    return mask.mask if isinstance(mask, Mask) else mask


class OutputAdapter:
    """A base class of output adapters; the method ``__call__`` is the subclass's."""

    def __call__(self, frame: Frame) -> Frame:
        """Adapt a frame.

        Args:
            frame: All columns, outputs of nodes among them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no __call__")


class BatchProcessor:
    """A base class of batch processors, from a frame to a frame; of this class, the same one."""

    def __call__(self, frame: Frame) -> Frame:
        """Process a frame.

        Args:
            frame: Its columns.
        """
        return frame


class DefaultInputAdapter(SelectInputs):
    """Gives a model the first column, ``input_1``, as its input of that name.

    Args:
        model_name: The model.
    """

    def __init__(self, model_name: str) -> None:
        super().__init__({model_name: {"input_1": "input_1"}})


class DecodeText:
    """Turns scores and numbers of words into texts, for metrics as ``CharErrorRate``.

    The last preprocessor with a method ``decode`` that a dataset applies to its last column knows
    the words.

    Args:
        session: Has the datasets.

    Raises:
        DataError: No dataset has such a preprocessor.
    """

    def __init__(self, session: Any) -> None:
        found = (list(getattr(one, "preprocessors", ())) for one in session.datasets.values())
        last = [preprocessors[-1] for preprocessors in found if preprocessors]
        able = [preprocessor for preprocessor in last if hasattr(preprocessor, "decode")]
        if not able:
            raise DataError("DecodeText needs a dataset whose last preprocessor has decode")
        self.tokenizer: Any = able[0]

    def __call__(self, y_hat: Tensor, ground_true: Any) -> tuple[list[str], list[str]]:
        """Decode.

        Args:
            y_hat: Scores (B, T, C).
            ground_true: B lists of numbers, or an integer tensor (B, T).

        Returns:
            The B predicted texts, and the B true ones.
        """
        rows = ground_true.tolist() if isinstance(ground_true, Tensor) else ground_true
        predicted = [self.tokenizer.decode(row) for row in y_hat.argmax(-1).tolist()]
        return predicted, [self.tokenizer.decode(list(row)) for row in rows]


class SaveAsImages(SaveImages):
    """``SaveImages`` for images that were normalised: value · std + mean is what is saved.

    Args:
        destination_folder: Where to.
        mean: What the images were shifted by.
        std: What they were divided by.
    """

    def __init__(self, destination_folder: str | Path, mean: float = 0.5, std: float = 0.5) -> None:
        super().__init__(destination_folder)
        self.mean = mean
        self.std = std

    def __call__(
        self,
        data: Tensor | Mapping[str, Tensor],
        *,
        input: str | Mapping[str, str] | None = None,
    ) -> None:
        """Save images, as ``SaveImages`` does.

        Args:
            data: As there; of a dict every tensor is saved.
            input: As there.

        Raises:
            DataError: The data is something else.
        """
        single: dict[str, Any] = {"": data} if isinstance(data, Tensor) else dict(data)
        shown = {
            key: value * self.std + self.mean if isinstance(value, Tensor) else value
            for key, value in single.items()
        }
        super().__call__(shown[""] if isinstance(data, Tensor) else shown, input=input)
