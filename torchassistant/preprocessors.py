"""Preprocessors: what is done to one value of one column, each time it is read.

A preprocessor has ``process(value)``; one that learns from data has ``fit(dataset)`` too, and
``state_dict``/``load_state_dict`` to keep what it learned. A dataset is a sequence of examples,
each a tuple or list of columns, or a single value, which is column 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from torchassistant.errors import DataError

_PIXELS_AT_ONCE = 1 << 20
"""How many pixels ``ImageNormalizer.fit`` gathers before it computes: enough that the fixed cost of
tensor operations does not show, and about 12 MiB for small RGB images in float32."""


def image_to_tensor(image: Any) -> Tensor:
    """Convert one image to a float32 tensor (C, H, W).

    Args:
        image: An image of PIL; an array (H, W) or (H, W, C); a tensor (H, W) or (C, H, W). Arrays
            and tensors are uint8 or floating-point.

    Returns:
        uint8 values divided by 255, hence in [0, 1]; floating-point values as they are.

    Raises:
        DataError: It is no image, or has another dtype or number of dimensions.
    """
    pixels = image if isinstance(image, Tensor) else _pixels_of(image)
    if pixels.ndim == 2:
        pixels = pixels.unsqueeze(0)
    if pixels.ndim != 3:
        raise DataError(f"an image has 2 or 3 dimensions, found shape {tuple(pixels.shape)}")
    if pixels.dtype == torch.uint8:
        return pixels.float().div_(255)
    if pixels.dtype.is_floating_point:
        return pixels.float()
    raise DataError(
        "the values of an image must be uint8 or floating-point, "
        f"found {str(pixels.dtype).removeprefix('torch.')}"
    )


def _pixels_of(image: Any) -> Tensor:
    """A tensor (H, W) or (C, H, W) of the values of an image of PIL or of an array."""
    import numpy as np
    from PIL import Image

    if isinstance(image, Image.Image):
        # In these two modes the stored numbers are no brightness: bits, and indices of colours.
        image = image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
    elif not isinstance(image, np.ndarray):
        raise DataError(
            f"expected an image (of PIL, an array or a tensor), found {type(image).__name__}"
        )
    try:
        # A copy: torch warns of memory that must not be written, as that of PIL.
        pixels = torch.from_numpy(np.array(image))
    except TypeError as error:
        raise DataError(f"the image cannot be a tensor: {error}") from None
    return pixels.permute(2, 0, 1).contiguous() if pixels.ndim == 3 else pixels


def _column_of(dataset: Any, column: int) -> Iterator[Any]:
    """The values of one column of all examples of a dataset, in order.

    Raises:
        DataError: An example does not have the column.
    """
    for index, example in enumerate(_examples(dataset)):
        columns = example if isinstance(example, tuple | list) else (example,)
        if column >= len(columns):
            raise DataError(
                f"there is no column {column} to fit on: example {index} has "
                f"{len(columns)}, counted from 0"
            )
        yield columns[column]


def _examples(dataset: Any) -> Iterator[Any]:
    # Many datasets have a length but never raise IndexError, so they cannot be iterated.
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        yield from (dataset[index] for index in range(len(dataset)))
    else:
        yield from dataset


def _checked_column(column: int) -> int:
    if type(column) is not int or column < 0:
        raise ValueError(f"column must be an index, counted from 0; found {column!r}")
    return column


class NullPreprocessor:
    """Leaves every value as it is; stands where a column needs no preprocessor."""

    def process(self, value: Any) -> Any:
        """Return the value itself."""
        return value


NullProcessor = NullPreprocessor


class ImageNormalizer:
    """Brings images to mean 0 and standard deviation 1 in each channel, as fitted on a dataset.

    Args:
        column: The column, from 0, of the dataset that holds the images.

    Raises:
        ValueError: ``column`` is no index.
    """

    def __init__(self, column: int = 0) -> None:
        self.column = _checked_column(column)
        self.mean: Tensor | None = None
        self.std: Tensor | None = None

    def fit(self, dataset: Any) -> None:
        """Take mean and standard deviation of each channel over all pixels of all images.

        One pass, in float64, over images as ``process`` takes them; they may differ in size. The
        standard deviation is that of the whole population (divided by N). Blocks of pixels are
        joined by the update of T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing
        the sample variance", The American Statistician 37(3), 1983, which does not lose the
        variance of images with a large mean and little contrast.

        Raises:
            DataError: The dataset is empty, lacks the column, or holds something that is no image
                or has another number of channels.
        """
        moments: _Moments | None = None
        block: list[Tensor] = []
        size = 0
        for index, value in enumerate(_column_of(dataset, self.column)):
            pixels = image_to_tensor(value).flatten(1)
            if moments is None:
                moments = _Moments(len(pixels))
            if len(pixels) != moments.channels:
                raise DataError(
                    f"the images differ in channels: {moments.channels} in the first, "
                    f"{len(pixels)} in example {index}, counted from 0"
                )
            block.append(pixels)
            size += pixels.shape[1]
            if size >= _PIXELS_AT_ONCE:
                moments.add(torch.cat(block, dim=1))
                block, size = [], 0
        if moments is None:
            raise DataError("ImageNormalizer cannot be fitted on a dataset without examples")
        if size:
            moments.add(torch.cat(block, dim=1))
        if moments.count == 0:
            raise DataError("ImageNormalizer cannot be fitted on images without pixels")
        self._set(moments.mean, moments.std())

    def process(self, value: Any) -> Tensor:
        """Normalise one image.

        Args:
            value: An image of PIL, an array (H, W) or (H, W, C), a tensor (H, W) or (C, H, W); see
                ``image_to_tensor``.

        Returns:
            A float32 tensor (C, H, W): (values - mean) / std, channel by channel; the standard
            deviation of a channel that never varies counts as 1.

        Raises:
            DataError: Nothing was fitted yet, it is no image, or one with other channels.
        """
        if self.mean is None:
            raise DataError(
                "ImageNormalizer has no mean and standard deviation yet: "
                'its "fit" must name the dataset to learn them from'
            )
        image = image_to_tensor(value)
        if len(image) != len(self.mean):
            raise DataError(
                f"ImageNormalizer was fitted on images with {len(self.mean)} channels, "
                f"found one with {len(image)}"
            )
        return image.sub(self._shift).div_(self._scale)

    def state_dict(self) -> dict[str, Any]:
        """``mean`` and ``std``: float64 tensors (C,), or None before ``fit``."""
        return {"mean": self.mean, "std": self.std}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Raises:
            DataError: ``mean`` or ``std`` is missing.
        """
        _check_keys("ImageNormalizer", state, ("mean", "std"))
        if state["mean"] is None or state["std"] is None:
            self.mean = self.std = None
            return
        self._set(
            torch.as_tensor(state["mean"], dtype=torch.float64),
            torch.as_tensor(state["std"], dtype=torch.float64),
        )

    def _set(self, mean: Tensor, std: Tensor) -> None:
        self.mean, self.std = mean, std
        # (C, 1, 1), so that they spread over (C, H, W) without work for each image.
        self._shift = mean.float()[:, None, None]
        self._scale = torch.where(std == 0, 1.0, std).float()[:, None, None]


class _Moments:
    """Count, mean and sum of squared deviations of each channel, over blocks of pixels.

    Args:
        channels: The number of channels C.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self._squares = torch.zeros(channels, dtype=torch.float64)

    def add(self, pixels: Tensor) -> None:
        """Take in a block of pixels (C, N)."""
        pixels = pixels.double()
        new = pixels.shape[1]
        variance, mean = torch.var_mean(pixels, dim=1, correction=0)
        total = self.count + new
        distance = mean - self.mean
        self.mean = self.mean + distance * (new / total)
        self._squares += variance * new + distance**2 * (self.count * new / total)
        self.count = total

    def std(self) -> Tensor:
        """The standard deviations, float64 (C,)."""
        return (self._squares / self.count).sqrt()


class TextTokenizer:
    """Turns a text into the numbers of its words, in a vocabulary fitted on a dataset.

    Words are what white space separates. Number 0 is padding, 1 the start, 2 the end, 3 a word that
    is not in the vocabulary; the words follow from 4 on, the most frequent first, those of one
    frequency in alphabetical order (by code point). The special words have no meaning inside a
    text: there they are unknown words.

    Args:
        column: The column, from 0, of the dataset that holds the texts.
        start: How the start is written.
        end: How the end is written.
        unknown: How an unknown word is written by ``decode``.
        padding: How padding is written.
        lowercase: Whether texts are lower-cased first.
        max_words: How many words the vocabulary keeps, without the special ones; None for all.

    Raises:
        ValueError: ``column`` is no index, two special words are the same, or ``max_words`` is less
            than 1.
    """

    padding_id = 0
    start_id = 1
    end_id = 2
    unknown_id = 3

    def __init__(
        self,
        column: int = 0,
        start: str = "<s>",
        end: str = "</s>",
        unknown: str = "<unk>",
        padding: str = "<pad>",
        lowercase: bool = False,
        max_words: int | None = None,
    ) -> None:
        self.column = _checked_column(column)
        self.specials = (padding, start, end, unknown)
        if len(set(self.specials)) < len(self.specials):
            raise ValueError("start, end, unknown and padding must be four different words")
        if max_words is not None and max_words < 1:
            raise ValueError(f"max_words must be at least 1, found {max_words}")
        self.lowercase = lowercase
        self.max_words = max_words
        self._words: list[str] | None = None
        self._ids: dict[str, int] = {}

    @property
    def words(self) -> list[str]:
        """The whole vocabulary: the word at index i has the number i.

        Raises:
            DataError: Nothing was fitted yet.
        """
        return [*self.specials, *self._fitted()]

    def __len__(self) -> int:
        """How many numbers there are, the four special ones included."""
        return len(self.specials) + len(self._fitted())

    def fit(self, dataset: Any) -> None:
        """Collect the vocabulary from the texts of a dataset.

        Raises:
            DataError: The dataset is empty, lacks the column, or holds something that is no text.
        """
        counts: Counter[str] = Counter()
        examples = 0
        for text in _column_of(dataset, self.column):
            counts.update(self._split(text))
            examples += 1
        if not examples:
            raise DataError("TextTokenizer cannot be fitted on a dataset without examples")
        for special in self.specials:
            counts.pop(special, None)
        self._set(sorted(counts, key=lambda word: (-counts[word], word))[: self.max_words])

    def process(self, text: str) -> list[int]:
        """The numbers of the words of a text, between those of start and end.

        Raises:
            DataError: Nothing was fitted yet, or it is no text.
        """
        self._fitted()
        ids = (self._ids.get(word, self.unknown_id) for word in self._split(text))
        return [self.start_id, *ids, self.end_id]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The words of these numbers, with one space between, up to the end number if there is one.

        Args:
            ids: Integers, or an integer tensor (T,). Start and padding are left out.

        Raises:
            DataError: Nothing was fitted yet, or a number is outside the vocabulary.
        """
        vocabulary = self.words
        found = []
        for number in ids.tolist() if isinstance(ids, Tensor) else map(int, ids):
            if number == self.end_id:
                break
            if not 0 <= number < len(vocabulary):
                raise DataError(
                    f"{number} is not the number of a word: "
                    f"the vocabulary runs from 0 to {len(vocabulary) - 1}"
                )
            if number not in (self.start_id, self.padding_id):
                found.append(vocabulary[number])
        return " ".join(found)

    def state_dict(self) -> dict[str, Any]:
        """``words``: the list of the words without the special ones, or None before ``fit``."""
        return {"words": None if self._words is None else list(self._words)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Raises:
            DataError: ``words`` is missing.
        """
        _check_keys("TextTokenizer", state, ("words",))
        words = state["words"]
        self._set(None if words is None else list(words))

    def _set(self, words: list[str] | None) -> None:
        self._words = words
        self._ids = {word: i for i, word in enumerate(words or (), start=len(self.specials))}

    def _fitted(self) -> list[str]:
        if self._words is None:
            raise DataError(
                "TextTokenizer has no vocabulary yet: "
                'its "fit" must name the dataset to collect it from'
            )
        return self._words

    def _split(self, text: str) -> list[str]:
        if not isinstance(text, str):
            raise DataError(f"TextTokenizer needs a text, found {type(text).__name__}")
        return (text.lower() if self.lowercase else text).split()


def _check_keys(owner: str, state: Mapping[str, Any], keys: Iterable[str]) -> None:
    missing = [key for key in keys if key not in state]
    if missing:
        raise DataError(
            f"the stored state of {owner} lacks {', '.join(missing)}; found {', '.join(state)}"
        )
