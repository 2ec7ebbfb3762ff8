"""Preprocessors: what is done to one value of one column, each time it is read.

A preprocessor has ``process(value)``; one that learns from data has ``fit(dataset)`` too, and
``state_dict``/``load_state_dict`` to keep what it learned. A dataset is a sequence of examples,
each a tuple or list of columns, or a single value, which is column 0. ``NumberNormalizer`` and
``Categories`` of ``torchassistant.tabular`` have their names here too, for configs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from torchassistant.earlier_names import answering_for
from torchassistant.errors import DataError
from torchassistant.fitting import (
    Moments,
    Normalizer,
    alike,
    check_keys,
    checked_column,
    column_of,
)
from torchassistant.tabular import Categories, NumberNormalizer

__getattr__ = answering_for(__name__)

__all__ = [
    "Categories",
    "ImageNormalizer",
    "NullPreprocessor",
    "NumberNormalizer",
    "TextTokenizer",
    "image_to_tensor",
]

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


class NullPreprocessor:
    """Leaves every value as it is; stands where a column needs no preprocessor."""

    def process(self, value: Any) -> Any:
        """Return the value itself."""
        return value


class ImageNormalizer(Normalizer):
    """Brings images to mean 0 and standard deviation 1 in each channel, as fitted on a dataset.

    Args:
        column: The column, from 0, of the dataset that holds the images.

    Raises:
        ValueError: ``column`` is no index.
    """

    def __init__(self, column: int = 0) -> None:
        super().__init__(checked_column(column))

    def fit(self, dataset: Any) -> None:
        """Take mean and standard deviation of each channel over all pixels of all images.

        One pass, in float64, over images as ``process`` takes them; they may differ in size. The
        standard deviation is that of the whole population (divided by N).

        Raises:
            DataError: The dataset is empty, lacks the column, or holds something that is no image
                or has another number of channels.
        """
        found = map(image_to_tensor, column_of(dataset, self.column, "ImageNormalizer"))
        images = alike(found, len, "the images differ in channels")
        moments = Moments.over((image.flatten(1) for image in images), _PIXELS_AT_ONCE)
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
        mean = self._fitted_mean()
        image = image_to_tensor(value)
        if len(image) != len(mean):
            raise DataError(
                f"ImageNormalizer was fitted on images with {len(mean)} channels, "
                f"found one with {len(image)}"
            )
        return image.sub(self._shift).div_(self._scale)

    def _set(self, mean: Tensor, std: Tensor) -> None:
        super()._set(mean, std)
        # (C, 1, 1), so that they spread over (C, H, W) without work for each image.
        self._shift = mean.float()[:, None, None]
        self._scale = self._scale.float()[:, None, None]


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
        self.column = checked_column(column)
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
        for text in column_of(dataset, self.column, "TextTokenizer"):
            counts.update(self._split(text))
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
        check_keys("TextTokenizer", state, ("words",))
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
