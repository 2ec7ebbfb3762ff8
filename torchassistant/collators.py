"""Collators: from a list of examples to the columns of a batch.

An example is a tuple or list of columns; anything else counts as an example of one column. A
collator is called with a list of examples and returns a list with one entry a column. Inside
``ColumnWise`` stand column transforms: callables from the list of a column's values to the column.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from torchassistant.earlier_names import answering_for
from torchassistant.errors import DataError
from torchassistant.preprocessors import image_to_tensor

__getattr__ = answering_for(__name__)

ColumnTransform = Callable[[list[Any]], Any]

_NUMBERS = frozenset({bool, int, float})
_ROWS = frozenset({tuple, list})
_NEVER_STACKED = frozenset({str, bytes, tuple, list, dict, type(None)})


def split_columns(batch: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Turn a list of examples into a list of columns, each a tuple with one value an example.

    Raises:
        DataError: The batch is empty, or its examples differ in their number of columns.
    """
    if not len(batch):
        raise DataError("a batch without examples cannot be collated")
    if not _ROWS.issuperset(map(type, batch)):
        batch = [row if isinstance(row, tuple | list) else (row,) for row in batch]
    try:
        return list(zip(*batch, strict=True))
    except ValueError:
        odd = next(i for i, row in enumerate(batch) if len(row) != len(batch[0]))
        raise DataError(
            f"the examples of one batch have different numbers of columns: "
            f"{len(batch[0])} in the first, {len(batch[odd])} in number {odd + 1}"
        ) from None


def collate_column(values: Sequence[Any]) -> Tensor | list[Any]:
    """Stack a column's values where they are all tensors, all arrays or all numbers.

    Args:
        values: B values. Tensors and arrays of shape (...) and one dtype give a tensor (B, ...) of
            that dtype; numbers of Python give a tensor (B,): bool from bool, int64 from int, the
            default dtype of torch from float.

    Returns:
        The tensor, or a list of the values where they are of another kind or of mixed kinds.

    Raises:
        DataError: Tensors or arrays of different shapes, or integers beyond 64 bits.
    """
    kinds = set(map(type, values))
    if kinds == {Tensor}:
        return _stack_tensors(values)
    if kinds <= _NUMBERS:
        return _stack_numbers(values, kinds)
    return list(values) if kinds <= _NEVER_STACKED else _collate_rare_kinds(values, kinds)


def _stack_tensors(values: Sequence[Tensor]) -> Tensor:
    try:
        # Inside a loader's worker this stacks straight into shared memory, where the loader would
        # otherwise have to copy the batch once more.
        return cast(Tensor, default_collate(cast(list[Tensor], values)))
    except RuntimeError as error:
        _check_equal_shapes(values)
        raise DataError(f"the tensors cannot be stacked: {error}") from error


def _check_equal_shapes(values: Iterable[Tensor]) -> None:
    shapes = list(dict.fromkeys(tuple(value.shape) for value in values))
    if len(shapes) > 1:
        raise DataError(
            f"values of shapes {shapes[0]} and {shapes[1]} cannot be stacked into one tensor; "
            'the collator "PadSequences" pads sequences to the longest, '
            '"BatchDivide" keeps every column a list'
        )


def _stack_numbers(values: Sequence[Any], kinds: set[type]) -> Tensor:
    try:
        # torch.tensor looks into every element; for the two usual kinds a buffer takes a quarter of
        # the time, in a batch of 32.
        if kinds == {int}:
            return torch.frombuffer(array("q", values), dtype=torch.int64)
        if kinds == {float} and torch.get_default_dtype() == torch.float32:
            return torch.frombuffer(array("f", values), dtype=torch.float32)
        return torch.tensor(values)
    except (OverflowError, RuntimeError, ValueError) as error:
        raise DataError(f"the numbers do not fit into a tensor: {error}") from error


def _collate_rare_kinds(values: Sequence[Any], kinds: set[type]) -> Tensor | list[Any]:
    """``collate_column`` for what exact types do not tell: arrays, subclasses and the rest."""
    import numpy as np

    def all_are(*classes: type) -> bool:
        return all(issubclass(kind, classes) for kind in kinds)

    if all_are(Tensor):
        return _stack_tensors(values)
    if all_are(np.ndarray):
        arrays = [_array_to_tensor(value) for value in values]
        known = [tensor for tensor in arrays if tensor is not None]
        return _stack_tensors(known) if len(known) == len(values) else list(values)
    if all_are(np.generic):
        column = _array_to_tensor(np.array(values))
        return list(values) if column is None else column
    if all_are(bool, int, float, np.bool, np.number):
        plain = [value.item() if isinstance(value, np.generic) else value for value in values]
        return _stack_numbers(plain, set(map(type, plain)))
    return list(values)


def _array_to_tensor(values: Any) -> Tensor | None:
    """A tensor of the array's shape and dtype, or None for dtypes that torch does not have."""
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    try:
        # torch has no negative strides, and warns of memory that must not be written.
        shareable = values.flags.writeable and values.flags.c_contiguous
        return torch.from_numpy(values if shareable else values.copy())
    except TypeError:
        return None


def stack_column(values: Sequence[Any]) -> Tensor:
    """Like ``collate_column``, and lists of numbers too become a tensor (B, ...).

    Raises:
        DataError: The values cannot be one tensor.
    """
    column = collate_column(values)
    if isinstance(column, Tensor):
        return column
    try:
        return torch.tensor(column)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        kinds = sorted({type(value).__name__ for value in values})
        raise DataError(
            f"values of type {' and '.join(kinds)} cannot be stacked into a tensor; "
            'the collator "ColumnWise" takes a transform for each column'
        ) from None


def pad_column(values: Sequence[Any], padding_value: float = 0) -> Tensor:
    """Pad sequences at their end to the length of the longest.

    Args:
        values: B sequences: lists of numbers, or tensors, arrays or nested lists of shape
            (T_i, ...), T_i varying, 0 included, and the rest of the shape the same.
        padding_value: What stands behind the end of shorter sequences.

    Returns:
        A tensor (B, T, ...), T the greatest T_i. The dtype is that of the sequences (their common
        one, where they differ); where all are empty lists, that of ``padding_value``.

    Raises:
        DataError: A value is no sequence of numbers, the shapes differ in more than the length, or
            the dtype of the sequences cannot hold the padding value.
    """
    if _ROWS.issuperset(map(type, values)):
        kinds = {type(element) for value in values for element in value}
        if kinds <= _NUMBERS:
            return _pad_lists(values, kinds or {type(padding_value)}, padding_value)
    rows = [value if type(value) is Tensor else _sequence_to_tensor(value) for value in values]
    known = [row for row in rows if row is not None]
    _check_rows_alike({row.shape for row in known})
    dtypes = {row.dtype for row in known}
    dtype = reduce(torch.promote_types, dtypes)
    _check_padding_fits(padding_value, dtype)
    if len(known) < len(rows) or len(dtypes) > 1:
        nothing = known[0][:0]
        known = [(nothing if row is None else row).to(dtype) for row in rows]
    return pad_sequence(known, batch_first=True, padding_value=padding_value)


def _check_rows_alike(shapes: set[torch.Size]) -> None:
    if () in shapes:
        raise DataError("a tensor without dimensions is not a sequence, and cannot be padded")
    different = list({shape[1:]: tuple(shape) for shape in sorted(shapes)}.values())
    if len(different) > 1:
        raise DataError(
            f"sequences of shapes {different[0]} and {different[1]} cannot be padded: "
            "they may differ in the first dimension only"
        )


def _pad_lists(values: Sequence[Sequence[float]], kinds: set[type], padding_value: float) -> Tensor:
    """Pad flat lists while they are lists: one tensor is made, not one a list."""
    if float in kinds:
        dtype = torch.get_default_dtype()
    else:
        dtype = torch.int64 if int in kinds else torch.bool
    _check_padding_fits(padding_value, dtype)
    length = max(map(len, values))
    rows = [[*value, *[padding_value] * (length - len(value))] for value in values]
    try:
        return torch.tensor(rows, dtype=dtype)
    except (OverflowError, RuntimeError, ValueError) as error:
        raise DataError(f"the numbers do not fit into a tensor: {error}") from error


def _check_padding_fits(padding_value: float, dtype: torch.dtype) -> None:
    if dtype.is_floating_point or dtype.is_complex:
        return
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    if not (float(padding_value).is_integer() and low <= padding_value <= high):
        raise DataError(
            f"the padding value {padding_value} cannot stand among sequences of "
            f"{str(dtype).removeprefix('torch.')}"
        )


def _sequence_to_tensor(value: Any) -> Tensor | None:
    """A tensor of shape (T, ...), or None for an empty list, whose shape and dtype are open."""
    import numpy as np

    if isinstance(value, tuple | list):
        return stack_column(value) if value else None
    tensor = _array_to_tensor(value) if isinstance(value, np.ndarray) else value
    if not isinstance(tensor, Tensor):
        raise DataError(
            "only lists of numbers, tensors and arrays can be padded, "
            f"found a value of type {type(value).__name__}"
        )
    return tensor


def _each_column(names: Iterable[Any], columns: Iterable[Any], how: Iterable[Any]) -> list[Any]:
    """Apply a function to each column; what is wrong with a column is reported with its name."""
    result = []
    for name, values, function in zip(names, columns, how, strict=False):
        try:
            result.append(function(values))
        except DataError as error:
            raise DataError(f"column {name}: {error}") from error
    return result


class BatchDivide:
    """Divides a batch into its columns, each a list: ``[(a, 1), (b, 2)]`` to ``[[a, b], [1, 2]]``.

    A subclass can go on from there: ``images, labels = super().__call__(batch)``.
    """

    def __call__(self, batch: Sequence[Any]) -> list[Any]:
        """Divide B examples of N columns into N lists of B values.

        Raises:
            DataError: The examples differ in their number of columns.
        """
        return [list(values) for values in split_columns(batch)]


class DefaultCollator:
    """Stacks what can be stacked; the rest stays a list. Used where a config names no collator.

    Tensors and arrays of NumPy of shape (...) become a tensor (B, ...) of their dtype; numbers
    become a tensor (B,), bool for bool, int64 for int, torch's default dtype for float. Strings,
    images, lists and columns of mixed kinds stay lists. Where the examples are dicts, so is the
    batch: one column a key, in the order of the first example's keys.
    """

    def __call__(self, batch: Sequence[Any]) -> list[Any] | dict[Any, Any]:
        """Collate B examples of N columns into N tensors or lists.

        Raises:
            DataError: The tensors of a column differ in shape; the examples differ in their
                number of columns or in their keys.
        """
        if len(batch) and isinstance(batch[0], Mapping):
            return self._collate_dicts(batch)
        columns = split_columns(batch)
        try:
            return [collate_column(values) for values in columns]
        except DataError:
            # Once more, slower, to find the column: batches that fit do not pay for the name.
            return _each_column(range(len(columns)), columns, [collate_column] * len(columns))

    @staticmethod
    def _collate_dicts(batch: Sequence[Any]) -> dict[Any, Any]:
        keys = list(batch[0])
        try:
            columns = [[example[key] for example in batch] for key in keys]
        except (KeyError, TypeError, IndexError):
            raise _different_keys(batch) from None
        if set(map(len, batch)) != {len(keys)}:
            raise _different_keys(batch)
        named = (f'"{key}"' for key in keys)
        return dict(
            zip(keys, _each_column(named, columns, [collate_column] * len(keys)), strict=True)
        )


def _different_keys(batch: Sequence[Any]) -> DataError:
    number, odd = next(
        (number, example)
        for number, example in enumerate(batch, start=1)
        if not isinstance(example, Mapping) or example.keys() != batch[0].keys()
    )
    found = list(odd) if isinstance(odd, Mapping) else type(odd).__name__
    return DataError(
        "the examples of one batch must have the same keys: "
        f"{list(batch[0])} in the first, {found} in number {number}"
    )


class StackTensors:
    """Makes every column a tensor; a column that cannot be one is an error."""

    def __call__(self, batch: Sequence[Any]) -> list[Tensor]:
        """Stack B examples of N columns into N tensors (B, ...), typed as by ``DefaultCollator``.

        Raises:
            DataError: A column cannot be one tensor (it is named); the examples differ in their
                number of columns.
        """
        columns = split_columns(batch)
        return _each_column(range(len(columns)), columns, [stack_column] * len(columns))


class ColumnWise:
    """Gives each column to a transform of its own.

    Args:
        transforms: One callable a column, from the list of the column's values to the column, as
            ``Stack``, ``Pad``, ``ImagesToTensor`` and ``OneHot`` of this module; None for a column
            that is collated as ``DefaultCollator`` does it.

    Raises:
        ValueError: A transform is neither None nor callable.
    """

    def __init__(self, transforms: Sequence[ColumnTransform | None]) -> None:
        for number, transform in enumerate(transforms):
            if transform is not None and not callable(transform):
                raise ValueError(
                    f"transform {number} must be a callable or null, found {transform!r}"
                )
        self.transforms = list(transforms)
        self._functions = [collate_column if t is None else t for t in self.transforms]

    def __call__(self, batch: Sequence[Any]) -> list[Any]:
        """Transform B examples of N columns. N may be less than the number of transforms, as it is
        in inference, where there are no targets: the first N transforms are used then.

        Raises:
            DataError: There are more columns than transforms, or a transform raised it.
        """
        columns = split_columns(batch)
        if len(columns) > len(self._functions):
            raise DataError(
                f"the examples have {len(columns)} columns, "
                f"but there are transforms for {len(self._functions)} only"
            )
        return _each_column(range(len(columns)), map(list, columns), self._functions)


class PadSequences:
    """Pads sequences at their end to the longest of the batch; other columns as the default.

    Args:
        padding_value: What stands behind the end of shorter sequences.
        columns: Indices, from 0, of the columns that hold sequences. None: every column whose
            values are lists of numbers, or tensors or arrays that differ in length.

    Raises:
        ValueError: ``columns`` is no list of indices.
    """

    def __init__(self, padding_value: float = 0, columns: Sequence[int] | None = None) -> None:
        for index in () if columns is None else columns:
            if type(index) is not int or index < 0:
                raise ValueError(f"columns must be indices, counted from 0; found {index!r}")
        self.padding_value = padding_value
        self.columns = None if columns is None else frozenset(columns)
        self._pad = Pad(padding_value)

    def __call__(self, batch: Sequence[Any]) -> list[Any]:
        """Collate B examples; a column of sequences (T_i, ...) becomes a tensor (B, T, ...).

        Columns named at construction that a batch does not have are passed over, as there are no
        targets in inference.

        Raises:
            DataError: A column (it is named) cannot be padded or stacked; the examples differ in
                their number of columns.
        """
        columns = split_columns(batch)
        how = [
            self._pad if self._is_padded(index, values) else collate_column
            for index, values in enumerate(columns)
        ]
        return _each_column(range(len(columns)), columns, how)

    def _is_padded(self, index: int, values: Sequence[Any]) -> bool:
        return _looks_padded(values) if self.columns is None else index in self.columns


def _looks_padded(values: Sequence[Any]) -> bool:
    """Whether these are sequences, to ``PadSequences``, which was not told the columns."""
    import numpy as np

    if all(isinstance(value, tuple | list) for value in values):
        first = next((value[0] for value in values if value), 0)
        while isinstance(first, tuple | list) and first:
            first = first[0]
        return isinstance(first, bool | int | float | np.generic | np.ndarray | Tensor)
    if all(isinstance(value, Tensor | np.ndarray) and value.ndim > 0 for value in values):
        return len({value.shape[0] for value in values}) > 1
    return False


class Stack:
    """Column transform: tensors, arrays, numbers or lists of numbers become a tensor (B, ...)."""

    def __call__(self, values: Sequence[Any]) -> Tensor:
        """Stack B values; see ``stack_column``.

        Raises:
            DataError: The values cannot be one tensor.
        """
        return stack_column(values)


class Pad:
    """Column transform: sequences of shape (T_i, ...) become a tensor (B, T, ...).

    Args:
        padding_value: What stands behind the end of shorter sequences.
    """

    def __init__(self, padding_value: float = 0) -> None:
        self.padding_value = padding_value

    def __call__(self, values: Sequence[Any]) -> Tensor:
        """Pad B sequences; see ``pad_column``.

        Raises:
            DataError: The values are no sequences of one kind, or cannot hold the padding value.
        """
        return pad_column(values, self.padding_value)


class ImagesToTensor:
    """Column transform: images of one size become a float32 tensor (B, C, H, W) in [0, 1].

    Takes images of PIL, uint8 arrays (H, W) or (H, W, C), and tensors (H, W) or (C, H, W); the
    0 to 255 of integers becomes 0 to 1, floating-point values are taken as they are.
    """

    def __call__(self, values: Sequence[Any]) -> Tensor:
        """Convert and stack B images.

        Raises:
            DataError: A value is no image, or the images differ in size or channels.
        """
        images = [image_to_tensor(value) for value in values]
        shapes = list(dict.fromkeys(tuple(image.shape) for image in images))
        if len(shapes) > 1:
            raise DataError(
                f"images of shapes {shapes[0]} and {shapes[1]} (channels, height, width) cannot be "
                "stacked; bring them to one size first"
            )
        return _stack_tensors(images)


class OneHot:
    """Column transform: class numbers become a float32 tensor (B, num_classes) of zeros and ones.

    Args:
        num_classes: How many classes there are; the numbers run from 0 to ``num_classes - 1``.

    Raises:
        ValueError: ``num_classes`` is less than 1.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, found {num_classes}")
        self.num_classes = num_classes

    def __call__(self, values: Sequence[Any]) -> Tensor:
        """Encode B integers.

        Raises:
            DataError: A value is no integer, or no class.
        """
        numbers = stack_column(values)
        if numbers.dtype.is_floating_point or numbers.dtype.is_complex or numbers.ndim != 1:
            raise DataError(
                f"class numbers must be integers, found {str(numbers.dtype).removeprefix('torch.')}"
                f" values of shape {tuple(numbers.shape[1:])}"
            )
        numbers = numbers.long()
        outside = numbers[(numbers < 0) | (numbers >= self.num_classes)]
        if len(outside):
            raise DataError(
                f"class number {int(outside[0])} is not between 0 and {self.num_classes - 1}"
            )
        return one_hot(numbers, self.num_classes).float()
