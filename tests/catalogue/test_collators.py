"""Collators and column transforms."""

from __future__ import annotations

import enum
import math
from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, default_collate

from torchassistant.collators import (
    BatchDivide,
    ColumnWise,
    DefaultCollator,
    ImagesToTensor,
    OneHot,
    Pad,
    PadSequences,
    Stack,
    StackTensors,
)
from torchassistant.errors import DataError

quick = settings(deadline=None, max_examples=60)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and bool(torch.equal(one, other))


# --- BatchDivide --------------------------------------------------------------------------------


def test_batch_divide_gives_one_list_a_column():
    assert BatchDivide()([("a", 1), ("b", 2), ("c", 3)]) == [["a", "b", "c"], [1, 2, 3]]


def test_batch_divide_can_be_subclassed():
    class Doubled(BatchDivide):
        def __call__(self, batch):
            images, labels = super().__call__(batch)
            return images, [2 * label for label in labels]

    assert Doubled()([("a", 1), ["b", 2]]) == (["a", "b"], [2, 4])


@pytest.mark.parametrize("batch", [["ab", "cd"], [torch.zeros(2), torch.ones(2)], [{"x": 1}, None]])
def test_what_is_no_tuple_or_list_is_one_column(batch):
    assert BatchDivide()(batch) == [batch]


def test_named_tuples_are_examples():
    Point = namedtuple("Point", "x y")
    assert BatchDivide()([Point(1, 2), Point(3, 4)]) == [[1, 3], [2, 4]]


@pytest.mark.parametrize("collator", [BatchDivide(), DefaultCollator(), PadSequences()])
def test_examples_with_different_numbers_of_columns_are_refused(collator):
    with pytest.raises(DataError, match="2 in the first, 1 in number 3"):
        collator([(1, 2), (3, 4), (5,)])


@pytest.mark.parametrize("collator", [BatchDivide(), DefaultCollator(), StackTensors()])
def test_an_empty_batch_is_refused(collator):
    with pytest.raises(DataError, match="without examples"):
        collator([])


# --- DefaultCollator ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], torch.int64),
        ([1 / 3, 2.0, 1e300], torch.float32),
        ([True, False], torch.bool),
        ([1, 2.5], torch.float32),
        ([True, 2], torch.int64),
        ([np.float64(1.5), np.float64(2)], torch.float64),
        ([np.int16(1), np.int16(2)], torch.int16),
        ([np.bool_(True), np.bool_(False)], torch.bool),
        ([np.float32(1.5), 2.0], torch.float32),
        ([np.int8(1), 2], torch.int64),
    ],
)
def test_numbers_become_a_tensor(values, dtype):
    assert same(DefaultCollator()([(v,) for v in values])[0], torch.tensor(values, dtype=dtype))


int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)


@given(
    st.sampled_from([int64s, floats, int64s | floats | st.booleans()]).flatmap(
        lambda numbers: st.lists(numbers, min_size=1)
    )
)
@quick
def test_numbers_become_what_torch_makes_of_them(values):
    assert same(DefaultCollator()(values)[0], torch.tensor(values))


def test_floats_become_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        assert DefaultCollator()([0.1, 0.2])[0].tolist() == [0.1, 0.2]
    finally:
        torch.set_default_dtype(torch.float32)


def test_enumerations_of_integers_are_numbers():
    class Label(enum.IntEnum):
        CAT = 3
        DOG = 5

    assert same(DefaultCollator()([Label.CAT, Label.DOG])[0], torch.tensor([3, 5]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.uint8, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 4)])
def test_tensors_are_stacked_as_torch_does_it(dtype, shape):
    batch = [(torch.randint(0, 2, shape).to(dtype), i) for i in range(5)]
    for mine, torchs in zip(DefaultCollator()(batch), default_collate(batch), strict=True):
        assert same(mine, torchs)


def test_stacked_tensors_are_bit_identical():
    values = [torch.randn(7), torch.tensor([math.nan, -0.0, math.inf, 1e-45, 0, 1, 2])]
    mine = DefaultCollator()(values)[0]
    assert torch.equal(mine.view(torch.int32), torch.stack(values).view(torch.int32))


def test_subclasses_of_tensor_are_stacked():
    values = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.zeros(2))]
    assert DefaultCollator()(values)[0].tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", ">f4", ">i8"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_arrays_keep_their_dtype(dtype, shape):
    arrays = [np.full(shape, i, dtype=dtype) for i in range(3)]
    expected = torch.from_numpy(np.stack(arrays).astype(np.dtype(dtype).newbyteorder("=")))
    assert same(DefaultCollator()([(array,) for array in arrays])[0], expected)


def test_arrays_that_are_flipped_or_read_only_are_stacked():
    flipped = np.arange(3)[::-1]
    locked = np.arange(3)
    locked.setflags(write=False)
    assert DefaultCollator()([(flipped,), (locked,)])[0].tolist() == [[2, 1, 0], [0, 1, 2]]


def test_collating_copies_arrays():
    array = np.zeros(2)
    column = DefaultCollator()([(array,), (array,)])[0]
    array[:] = 1
    assert column.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b"],
        [[1, 2], [3]],
        [(1,), (2,)],
        [None, None],
        [1, None],
        [torch.zeros(1), 1],
        [np.array(["a"]), np.array(["b"])],
        [np.str_("a"), np.str_("b")],
        [np.datetime64("2020-01-01"), np.datetime64("2020-01-02")],
        [{"a": 1}, {"a": 2}],
        [1j, 2j],
        [Image.new("L", (1, 1)), Image.new("L", (1, 1))],
    ],
)
def test_the_rest_stays_a_list(values):
    column = DefaultCollator()([(value, 0) for value in values])[0]
    assert type(column) is list
    assert all(one is other for one, other in zip(column, values, strict=True))


def test_unequal_shapes_name_column_shapes_and_the_way_out():
    batch = [(0, torch.zeros(2, 3)), (0, torch.zeros(2, 4))]
    with pytest.raises(DataError) as caught:
        DefaultCollator()(batch)
    for part in ("column 1", "(2, 3)", "(2, 4)", "PadSequences", "BatchDivide"):
        assert part in str(caught.value)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
def test_integers_beyond_64_bits_are_refused(number):
    with pytest.raises(DataError, match="column 0: the numbers do not fit"):
        DefaultCollator()([(1,), (number,)])


def test_sparse_tensors_are_refused():
    with pytest.raises(DataError, match=r"column 0: .*sparse"):
        DefaultCollator()([(torch.eye(2).to_sparse(),), (torch.eye(2).to_sparse(),)])


def test_dicts_give_a_dict_with_a_column_a_key_in_the_order_of_the_first():
    columns = DefaultCollator()([{"y": 1, "x": "a"}, {"x": "b", "y": 2}])
    assert list(columns) == ["y", "x"]
    assert same(columns["y"], torch.tensor([1, 2]))
    assert columns["x"] == ["a", "b"]


@pytest.mark.parametrize(
    "odd", [{"x": 1}, {"x": 1, "z": 1}, {"x": 1, "y": 1, "z": 1}, (1, 2), "xy"]
)
def test_dicts_with_different_keys_are_refused(odd):
    with pytest.raises(DataError, match=r"\['x', 'y'\] in the first, .* in number 2"):
        DefaultCollator()([{"x": 1, "y": 2}, odd])


def test_a_column_of_dicts_is_named_by_its_key():
    with pytest.raises(DataError, match='column "x": values of shapes'):
        DefaultCollator()([{"x": torch.zeros(1)}, {"x": torch.zeros(2)}])


# From Python 3.12 on, forking warns of the threads that torch has.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_worker_process_gives_the_same_batches():
    data = [(torch.arange(3.0) + i, i, i / 3, np.float32(i)) for i in range(6)]
    here, there = (
        list(DataLoader(data, batch_size=4, collate_fn=DefaultCollator(), num_workers=workers))
        for workers in (0, 1)
    )
    assert len(here) == 2
    for one, other in zip(here, there, strict=True):
        assert all(map(same, one, other))


# --- StackTensors, ColumnWise -------------------------------------------------------------------


def test_stack_tensors_makes_tensors_of_lists_too():
    images, rows = StackTensors()([(torch.zeros(2), [1, 2]), (torch.ones(2), [3, 4])])
    assert same(images, torch.tensor([[0.0, 0], [1, 1]]))
    assert same(rows, torch.tensor([[1, 2], [3, 4]]))


@pytest.mark.parametrize("values", [["a", "b"], [None, 1], [[1], [2, 3]], [{}, {}]])
def test_stack_tensors_names_the_column_that_cannot_be_stacked(values):
    with pytest.raises(DataError, match=r"column 1: values of type .* cannot be stacked"):
        StackTensors()([(0, value) for value in values])


def test_column_wise_applies_each_transform_to_the_list_of_its_column():
    seen = []
    collator = ColumnWise([lambda values: seen.append(values) or len(values), None])
    number, labels = collator([("a", 1), ("b", 2)])
    assert (number, seen) == (2, [["a", "b"]])
    assert same(labels, torch.tensor([1, 2]))


def test_column_wise_takes_fewer_columns_than_transforms():
    assert same(ColumnWise([Stack(), OneHot(3)])([(1,), (2,)])[0], torch.tensor([1, 2]))


def test_column_wise_refuses_more_columns_than_transforms():
    with pytest.raises(DataError, match="3 columns, but there are transforms for 2"):
        ColumnWise([None, None])([(1, 2, 3)])


def test_column_wise_names_the_column_of_a_transform_that_fails():
    with pytest.raises(DataError, match="column 1: class number 5 is not between 0 and 2"):
        ColumnWise([None, OneHot(3)])([(0, 5)])


def test_column_wise_leaves_errors_of_foreign_transforms_alone():
    with pytest.raises(ZeroDivisionError):
        ColumnWise([lambda values: 1 / 0])([(1,)])


def test_column_wise_refuses_what_is_no_transform():
    with pytest.raises(ValueError, match="transform 1 must be a callable or null"):
        ColumnWise([None, "Stack"])


# --- padding ------------------------------------------------------------------------------------

sequences = st.lists(st.lists(int64s, max_size=8), min_size=1, max_size=6)


@given(sequences, st.integers(-100, 100))
@quick
def test_padding_keeps_every_number_and_fills_the_rest(rows, padding):
    padded = Pad(padding)(rows)
    length = max(map(len, rows))
    assert padded.shape == (len(rows), length)
    assert padded.dtype == torch.int64
    assert padded.tolist() == [row + [padding] * (length - len(row)) for row in rows]


@given(sequences, st.integers(-100, 100))
@quick
def test_lists_tensors_and_arrays_are_padded_alike(rows, padding):
    expected = Pad(padding)(rows)
    assert same(Pad(padding)([torch.tensor(row, dtype=torch.int64) for row in rows]), expected)
    assert same(Pad(padding)([np.array(row, dtype=np.int64) for row in rows]), expected)
    mixed = [torch.tensor(row) if row and i % 2 else row for i, row in enumerate(rows)]
    assert same(Pad(padding)(mixed), expected)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.sampled_from([(), (2,), (2, 3)]))
@quick
def test_padding_keeps_the_other_dimensions(lengths, tail):
    rows = [torch.randn(length, *tail) for length in lengths]
    padded = Pad(-1.5)(rows)
    assert padded.shape == (len(rows), max(lengths), *tail)
    for row, whole in zip(rows, padded, strict=True):
        assert torch.equal(whole[: len(row)], row)
        assert bool((whole[len(row) :] == -1.5).all())


@pytest.mark.parametrize(
    ("rows", "padding", "expected"),
    [
        ([[1.5], [2, 3]], 0, torch.tensor([[1.5, 0], [2, 3]])),
        ([[True], []], 0, torch.tensor([[True], [False]])),
        ([[], []], 0, torch.empty(2, 0, dtype=torch.int64)),
        ([[], []], 0.0, torch.empty(2, 0)),
        ([[[1, 2]], [], [[3, 4], [5, 6]]], 7,
         torch.tensor([[[1, 2], [7, 7]], [[7, 7], [7, 7]], [[3, 4], [5, 6]]])),
        ([torch.tensor([1]), torch.tensor([1.5, 2])], 0, torch.tensor([[1.0, 0], [1.5, 2]])),
        ([torch.tensor([1], dtype=torch.uint8), []], 255,
         torch.tensor([[1], [255]], dtype=torch.uint8)),
        ([[torch.ones(2)], [torch.zeros(2), torch.ones(2)]], 0,
         torch.tensor([[[1.0, 1], [0, 0]], [[0, 0], [1, 1]]])),
    ],
)  # fmt: skip
def test_padding_finds_the_dtype(rows, padding, expected):
    assert same(Pad(padding)(rows), expected)


@pytest.mark.parametrize(
    ("rows", "padding"),
    [
        ([[1], [2, 3]], 0.5),
        ([[1], [2, 3]], math.inf),
        ([[True], []], 2),
        ([torch.zeros(1, dtype=torch.uint8)], -100),
    ],
)
def test_a_padding_value_that_the_dtype_cannot_hold_is_refused(rows, padding):
    with pytest.raises(DataError, match=f"padding value {padding} cannot stand among"):
        Pad(padding)(rows)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([torch.zeros(2, 3), torch.zeros(1, 4)], r"\(1, 4\) and \(2, 3\)"),
        ([torch.tensor(1), torch.tensor(2)], "without dimensions"),
        ([1, 2], "found a value of type int"),
        ([["a"], ["b"]], "values of type str"),
        ([[1], "b"], "found a value of type str"),
        ([[2**70], [1]], "do not fit"),
    ],
)
def test_what_cannot_be_padded_is_refused(rows, said):
    with pytest.raises(DataError, match=said):
        Pad()(rows)


def test_padding_lets_gradients_through():
    rows = [torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)]
    (Pad()(rows) * torch.tensor([[1.0, 2, 3], [4, 5, 6]])).sum().backward()
    assert rows[0].grad.tolist() == [1, 2]
    assert rows[1].grad.tolist() == [4, 5, 6]


def test_pad_sequences_finds_the_columns_to_pad():
    batch = [([1, 2], torch.zeros(1), torch.zeros(2), 5, "a", ["x"]),
             ([3], torch.zeros(3), torch.ones(2), 6, "b", ["y", "z"])]  # fmt: skip
    ids, wave, fixed, label, name, words = PadSequences(padding_value=9)(batch)
    assert ids.tolist() == [[1, 2], [3, 9]]
    assert wave.tolist() == [[0, 9, 9], [0, 0, 0]]
    assert fixed.tolist() == [[0, 0], [1, 1]]
    assert label.tolist() == [5, 6]
    assert (name, words) == (["a", "b"], [["x"], ["y", "z"]])


def test_pad_sequences_pads_only_the_columns_that_it_is_told():
    first, second = PadSequences(columns=[1, 4])([([1], [1, 2]), ([2, 3], [3])])
    assert first == [[1], [2, 3]]
    assert second.tolist() == [[1, 2], [3, 0]]


def test_pad_sequences_names_the_column():
    with pytest.raises(DataError, match="column 1: only lists of numbers"):
        PadSequences(columns=[1])([("a", 1), ("b", 2)])


@pytest.mark.parametrize("columns", [[-1], ["x"], [True], [0.5]])
def test_pad_sequences_refuses_what_is_no_index(columns):
    with pytest.raises(ValueError, match="indices, counted from 0"):
        PadSequences(columns=columns)


# --- images, one-hot ----------------------------------------------------------------------------


def test_images_are_what_torchvision_makes_of_them():
    from torchvision.transforms.functional import to_tensor

    rng = np.random.default_rng(0)
    for mode, shape in [("L", (5, 4)), ("RGB", (5, 4, 3)), ("RGBA", (5, 4, 4))]:
        images = [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(2)]
        assert images[0].mode == mode
        expected = torch.stack([to_tensor(image) for image in images])
        assert same(ImagesToTensor()(images), expected)
        assert same(ImagesToTensor()([np.asarray(image) for image in images]), expected)


def test_images_with_two_colours_run_from_0_to_1():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert ImagesToTensor()([image]).tolist() == [[[[0, 1]]]]


def test_images_with_a_palette_get_their_colours():
    image = Image.new("RGB", (1, 1), (255, 0, 51)).convert("P")
    assert ImagesToTensor()([image]).flatten().tolist() == pytest.approx([1, 0, 0.2])


def test_images_of_different_sizes_are_refused():
    images = [Image.new("L", (3, 2)), Image.new("L", (3, 4))]
    with pytest.raises(DataError, match=r"\(1, 2, 3\) and \(1, 4, 3\)"):
        ImagesToTensor()(images)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("cat.png", "found str"),
        (np.zeros(3, dtype=np.uint8), r"found shape \(3,\)"),
        (np.zeros((2, 2), dtype=np.int64), "found int64"),
        (Image.new("I;16", (1, 1)), "found uint16"),
        (np.array([["a"]]), "cannot be a tensor"),
    ],
)
def test_what_is_no_image_is_refused(value, said):
    with pytest.raises(DataError, match=said):
        ImagesToTensor()([value])


@pytest.mark.parametrize("numbers", [[2, 0], [torch.tensor(2), torch.tensor(0)], np.array([2, 0])])
def test_one_hot(numbers):
    assert same(OneHot(3)(list(numbers)), torch.tensor([[0.0, 0, 1], [1, 0, 0]]))


@pytest.mark.parametrize("numbers", [[3], [-1], [0.5], [[1]], ["a"]])
def test_one_hot_refuses_what_is_no_class(numbers):
    with pytest.raises(DataError):
        OneHot(3)(numbers)


def test_one_hot_needs_a_class():
    with pytest.raises(ValueError, match="at least 1, found 0"):
        OneHot(0)
