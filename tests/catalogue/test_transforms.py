"""Transforms of losses and metrics: what they make of columns, and that it fits the functions."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from torchassistant import transforms
from torchassistant.errors import DataError
from torchassistant.losses import MaskedCrossEntropy
from torchassistant.metrics import Accuracy
from torchassistant.transforms import pad_targets, reverse_onehot, same_shape

quick = settings(deadline=None, max_examples=60)

FUNCTIONS = [pad_targets, reverse_onehot, same_shape]


def test_the_functions_here_are_all_there_are():
    public = [
        value
        for name, value in vars(transforms).items()
        if inspect.isfunction(value) and value.__module__ == transforms.__name__ and name[0] != "_"
    ]
    assert sorted(public, key=lambda function: function.__name__) == FUNCTIONS
    assert all(function.__doc__ for function in FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_prediction_that_is_no_tensor_is_refused(function):
    with pytest.raises(DataError, match=f"{function.__name__} needs a tensor as y_hat, found list"):
        function([1.0], [[1]])


# --- reverse_onehot -----------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), max_size=8))
@quick
def test_one_hot_vectors_become_the_classes_that_they_encode(classes):
    y_hat = one_hot(torch.tensor(classes, dtype=torch.int64), 5).float()
    found, labels = reverse_onehot(y_hat, classes)
    assert found.dtype == labels.dtype == torch.int64
    assert found.tolist() == labels.tolist() == classes


def test_the_greatest_score_of_the_last_dimension_counts():
    y_hat = torch.tensor([[[1.0, 9.0, 2.0], [7.0, 3.0, 0.0]]])
    assert reverse_onehot(y_hat, None)[0].tolist() == [[1, 0]]


@pytest.mark.parametrize("labels", [[2, 0], (2, 0), [np.int64(2), 0]])
def test_a_list_of_integers_becomes_a_tensor(labels):
    found = reverse_onehot(torch.eye(3)[[2, 1]], labels)[1]
    assert torch.equal(found, torch.tensor([2, 0]))


@pytest.mark.parametrize(
    "labels",
    [torch.tensor([2, 0], dtype=torch.int32), ["cat", "dog"], [1.0, 0.0], [1, "dog"], None],
)
def test_other_labels_are_left_as_they_are(labels):
    assert reverse_onehot(torch.eye(3), labels)[1] is labels


def test_labels_beyond_64_bits_are_refused():
    with pytest.raises(DataError, match="do not fit into a tensor"):
        reverse_onehot(torch.eye(3), [2**70, 0, 0])


def test_classes_are_what_accuracy_takes():
    accuracy = Accuracy()
    accuracy.update(*reverse_onehot(torch.eye(3), [0, 1, 1]))
    assert accuracy.compute().item() == pytest.approx(2 / 3)


# --- pad_targets --------------------------------------------------------------------------------

sequences = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=5)


@given(sequences, st.sampled_from([list, tuple, torch.tensor, np.array, "mixed"]))
@quick
def test_the_mask_gives_the_targets_back(targets, form):
    if form is torch.tensor:
        given_ = [torch.tensor(row, dtype=torch.int32) for row in targets]
    elif form is np.array:
        given_ = [np.array(row, dtype=np.int64) for row in targets]
    elif form == "mixed":
        given_ = [torch.tensor(r, dtype=torch.int64) if i % 2 else r for i, r in enumerate(targets)]
    else:
        given_ = [form(row) for row in targets]
    y_hat = torch.zeros(1)
    same, padded, mask = pad_targets(y_hat, given_)
    assert same is y_hat
    assert (padded.dtype, mask.dtype) == (torch.int64, torch.bool)
    assert padded.shape == mask.shape == (len(targets), max(map(len, targets)))
    assert [row[real].tolist() for row, real in zip(padded, mask, strict=True)] == targets
    assert not padded[~mask].any()
    # What is real comes first.
    assert not (mask[:, 1:] & ~mask[:, :-1]).any()


def test_a_target_of_0_is_no_padding():
    _, padded, mask = pad_targets(torch.zeros(1), [[0, 0], [3]])
    assert padded.tolist() == [[0, 0], [3, 0]]
    assert mask.tolist() == [[True, True], [True, False]]


def test_targets_that_are_one_tensor_have_no_padding():
    targets = torch.tensor([[1, 2], [3, 0]])
    _, padded, mask = pad_targets(torch.zeros(1), targets)
    assert torch.equal(padded, targets)
    assert mask.all()


@given(sequences.filter(any), st.integers(0, 1000))
@quick
def test_the_masked_loss_is_that_of_the_real_targets(targets, seed):
    length = max(map(len, targets))
    generator = torch.Generator().manual_seed(seed)
    y_hat = torch.randn(len(targets), length, 10, generator=generator)
    found = MaskedCrossEntropy()(*pad_targets(y_hat, targets))
    scores = torch.cat([row[: len(target)] for row, target in zip(y_hat, targets, strict=True)])
    expected = cross_entropy(scores, torch.tensor([n for target in targets for n in target]))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([], "without targets"),
        ([[1.5], [1]], "needs sequences of integers, found float32"),
        ([torch.zeros(2), torch.zeros(1)], "needs sequences of integers, found float32"),
        ([[1j], [1j]], "needs sequences of integers, found complex64"),
        ([torch.zeros(2, 3).long()], r"integers, found int64 values of shape \(3,\)"),
        ([1, 2], "lists of numbers"),
        (torch.tensor([1, 2]), "not a sequence"),
        (["ab", "c"], "type str"),
    ],
)
def test_targets_that_are_no_sequences_of_integers_are_refused(targets, said):
    with pytest.raises(DataError, match=said):
        pad_targets(torch.zeros(1), targets)


# --- same_shape ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "other"), [((5, 1), (5,)), ((5,), (5, 1)), ((5, 1, 1), (5, 1))])
def test_a_mean_squared_error_is_not_spread(shape, other):
    y_hat, target = torch.randn(shape), torch.randn(other)
    found = nn.MSELoss()(*same_shape(y_hat, target))
    expected = (y_hat.flatten() - target.flatten()).square().mean()
    torch.testing.assert_close(found, expected)


@given(
    st.integers(1, 6).flatmap(lambda n: st.permutations([n, 1, 2]).map(tuple)),
    st.integers(0, 3),
    st.sampled_from([torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64]),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
@quick
def test_the_target_gets_shape_and_dtype_and_keeps_its_elements(shape, at, old, new):
    y_hat = torch.zeros(shape, dtype=new)
    target = torch.arange(y_hat.numel()).to(old).view(shape).unsqueeze(at)
    same, found = same_shape(y_hat, target)
    assert same is y_hat
    assert (found.shape, found.dtype) == (y_hat.shape, new)
    assert torch.equal(found.flatten(), target.flatten().to(new))


def test_what_fits_already_is_not_copied():
    y_hat, target = torch.zeros(3, 1), torch.rand(3)
    assert same_shape(y_hat, target)[1].data_ptr() == target.data_ptr()


@pytest.mark.parametrize("target", [[1, 0, 1], [True, False, True], [1.0, 0.0, 1.0]])
def test_a_list_of_numbers_is_a_target(target):
    y_hat = torch.randn(3, 1)
    found = nn.BCEWithLogitsLoss()(*same_shape(y_hat, target))
    expected = nn.BCEWithLogitsLoss()(y_hat, torch.tensor([[1.0], [0.0], [1.0]]))
    torch.testing.assert_close(found, expected)


def test_a_prediction_of_integers_leaves_the_dtype_of_the_target():
    target = torch.tensor([0.5, 1.5])
    assert torch.equal(same_shape(torch.tensor([[0], [1]]), target)[1], target[:, None])


def test_gradients_flow_into_a_target():
    target = torch.rand(3, dtype=torch.float64, requires_grad=True)
    same_shape(torch.zeros(3, 1), target)[1].sum().backward()
    assert target.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "other"),
    [((4, 1), (1,)), ((4,), ()), ((2, 3), (2, 1)), ((2, 3), (3, 2)), ((6,), (2, 3))],
)
def test_shapes_that_differ_in_more_than_ones_are_both_named(shape, other):
    with pytest.raises(DataError) as told:
        same_shape(torch.zeros(shape), torch.zeros(other))
    assert f"found shapes {shape} and {other}" in str(told.value)


def test_a_list_that_is_no_target_is_refused():
    with pytest.raises(DataError, match="type str cannot be stacked"):
        same_shape(torch.zeros(2), ["a", "b"])


# --- devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "columns"),
    [
        (reverse_onehot, [[1, 0]]),
        (pad_targets, [[[1, 2], [1]]]),
        (pad_targets, [[torch.tensor([1, 2]), torch.tensor([1])]]),
        (same_shape, [torch.tensor([1, 0, 1, 0, 1, 0])]),
        (same_shape, [[1.0] * 6]),
    ],
)
def test_all_goes_to_the_device_of_the_prediction(function, columns):
    # A tensor of this device has no values: whoever reads from the prediction raises.
    found = function(torch.zeros(6, 1, device="meta"), *columns)
    assert {tensor.device.type for tensor in found} == {"meta"}
