"""Metrics."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchassistant.errors import DataError
from torchassistant.metrics import Accuracy, MeanValue, SequenceAccuracy

quick = settings(deadline=None, max_examples=80)


# --- what all have in common --------------------------------------------------------------------

CASES = {
    "Accuracy": (Accuracy, [([1, 2], [1, 3]), ([4], [4])], 2 / 3),
    "SequenceAccuracy": (SequenceAccuracy, [([[1, 2], [3, 4]], [[1, 2], [3, 5]])], 1 / 2),
    "MeanValue": (MeanValue, [([1.0, 2.0],), ([6.0],)], 3.0),
}
each = pytest.mark.parametrize(("make", "updates", "expected"), CASES.values(), ids=CASES.keys())


def fed(metric, updates, device="cpu"):
    for arguments in updates:
        metric.update(*(torch.tensor(value, device=device) for value in arguments))
    return metric


@each
def test_it_is_the_metric_of_all_updates(make, updates, expected):
    assert float(fed(make(), updates).compute()) == pytest.approx(expected)


@each
def test_it_is_a_float_scalar_and_nan_at_the_start(make, updates, expected):
    assert torch.isnan(torch.as_tensor(make().compute()))
    assert fed(make(), updates).compute().dtype == torch.float64
    assert fed(make(), updates).compute().shape == ()


@each
def test_reset_forgets(make, updates, expected):
    metric = fed(make(), [updates[0]])
    metric.reset()
    assert torch.isnan(metric.compute())
    assert float(fed(metric, updates).compute()) == pytest.approx(expected)


@each
def test_computing_does_not_end_it(make, updates, expected):
    metric = make()
    for update in updates:
        fed(metric, [update]).compute()
    assert float(metric.compute()) == pytest.approx(expected)


@each
def test_copies_count_for_themselves(make, updates, expected):
    metric = fed(make(), updates)
    other = copy.deepcopy(metric)
    other.reset()
    assert float(metric.compute()) == pytest.approx(expected)


@each
def test_an_update_never_reads_from_the_device(make, updates, expected):
    # A tensor of this device has no values: whoever asks for one raises.
    assert fed(make(), updates, device="meta").compute().device.type == "meta"


# --- Accuracy -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
@quick
def test_accuracy_is_the_share_of_equal_elements(pairs):
    predictions, targets = map(list, zip(*pairs, strict=True))
    expected = sum(one == other for one, other in pairs) / len(pairs)
    for convert in (list, torch.tensor):
        metric = Accuracy()
        metric.update(convert(predictions), convert(targets))
        assert float(metric.compute()) == pytest.approx(expected)


def test_accuracy_takes_any_shape_and_a_tensor_with_a_list():
    metric = Accuracy()
    metric.update(torch.tensor([[1, 2], [3, 4]]), [[1, 2], [3, 5]])
    assert metric.compute() == 0.75


def test_accuracy_compares_texts():
    metric = Accuracy()
    metric.update(["ninety", "one"], ["ninety", "two"])
    assert metric.compute() == 0.5


@pytest.mark.parametrize(
    ("predictions", "targets", "said"),
    [
        (torch.zeros(2, 3), torch.zeros(2), r"\(2, 3\) and \(2,\)"),
        (torch.zeros(2), torch.zeros(1), r"\(2,\) and \(1,\)"),
        ([1, 2], [1], "2 and 1"),
        (torch.zeros(2), ["a", "b"], "must be tensors"),
    ],
)
def test_accuracy_refuses_what_does_not_fit(predictions, targets, said):
    with pytest.raises(DataError, match=said):
        Accuracy().update(predictions, targets)


def test_accuracy_with_arguments_is_that_of_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = Accuracy(task="multiclass", num_classes=3)
    assert isinstance(metric, torchmetrics.Metric)
    scores = torch.tensor([[0.1, 0.8, 0.1], [0.9, 0.0, 0.1]])
    metric.update(scores, torch.tensor([1, 2]))
    assert metric.compute() == 0.5


def test_a_subclass_of_accuracy_has_arguments_of_its_own():
    class Scaled(Accuracy):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

    assert Scaled(factor=2).factor == 2


# --- SequenceAccuracy ---------------------------------------------------------------------------

END, PAD = 9, 0


@pytest.mark.parametrize(
    ("prediction", "target", "right"),
    [
        ([1, 2, END], [1, 2, END], True),
        ([1, 3, END], [1, 2, END], False),
        ([1, 2, END, 7], [1, 2, END], True),
        ([1, 2, END], [1, 2, END, PAD, PAD], True),
        ([1, 2, END, 7, 7, 7], [1, 2, END, PAD, PAD], True),
        ([1, 2], [1, 2, END], True),
        ([1, 2, 3], [1, 2, END], False),
        ([1, 2, 3, END], [1, 2, END], False),
        ([1, END], [1, 2, END], False),
        ([1, END, 2], [1, 2, END], False),
        ([1, 2, END], [1, 2], True),
        ([1, 2, 3], [1, 2], False),
        ([1], [1, 2], False),
        ([END], [END], True),
        ([], [END], True),
        ([END, 1, END], [END, 2, END], True),
    ],
)
def test_sequences_are_compared_up_to_the_end(prediction, target, right):
    metric = SequenceAccuracy(padding_value=PAD, end_value=END)
    metric.update(
        torch.tensor([prediction], dtype=torch.int64), torch.tensor([target], dtype=torch.int64)
    )
    assert bool(metric.compute()) == right


tokens = st.lists(st.integers(1, 3), max_size=4)


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=6), st.integers(0, 2))
@quick
def test_padded_sequences_are_equal_where_the_lists_are(pairs, longer):
    def padded(rows, extra):
        length = max(map(len, rows)) + 1 + extra
        return torch.tensor([[*row, END, *[PAD] * (length - len(row) - 1)] for row in rows])

    predictions, targets = map(list, zip(*pairs, strict=True))
    metric = SequenceAccuracy(padding_value=PAD, end_value=END)
    metric.update(padded(predictions, longer), padded(targets, 0))
    expected = sum(one == other for one, other in pairs) / len(pairs)
    assert float(metric.compute()) == pytest.approx(expected)


def test_padding_in_the_target_is_ignored():
    metric = SequenceAccuracy(padding_value=PAD)
    metric.update(torch.tensor([[1, 2, 5], [1, 2, 5]]), torch.tensor([[1, 2, PAD], [1, 3, PAD]]))
    assert metric.compute() == 0.5


def test_without_padding_value_every_position_counts():
    metric = SequenceAccuracy()
    metric.update(torch.tensor([[1, 5]]), torch.tensor([[1, 0]]))
    assert metric.compute() == 0


def test_padding_and_end_may_be_the_same():
    metric = SequenceAccuracy(padding_value=END, end_value=END)
    metric.update(torch.tensor([[1, 2, END], [1, END, 5]]), torch.tensor([[1, END, END]] * 2))
    assert metric.compute() == 0.5


@pytest.mark.parametrize(
    ("predictions", "targets"), [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((2, 3, 4), (2, 3))]
)
def test_sequences_that_do_not_fit_are_refused(predictions, targets):
    with pytest.raises(DataError, match="found"):
        SequenceAccuracy().update(torch.zeros(predictions), torch.zeros(targets))


# --- MeanValue ----------------------------------------------------------------------------------


def test_the_mean_is_over_elements_not_over_updates():
    metric = MeanValue()
    metric.update(torch.tensor([[0.0, 0.0], [0.0, 0.0]]))
    metric.update(5)
    metric.update([True, False, 4.0])
    assert metric.compute() == pytest.approx(10 / 8)


def test_small_values_do_not_vanish():
    metric = MeanValue()
    metric.update(torch.tensor(1e8))
    for _ in range(100):
        metric.update(torch.tensor(1.0))
    assert float(metric.compute()) * 101 == pytest.approx(1e8 + 100, rel=1e-7)
    assert float(metric._sum) == 1e8 + 100


def test_the_mean_holds_no_graph():
    metric = MeanValue()
    metric.update(torch.ones(2, requires_grad=True) * 2)
    assert not metric.compute().requires_grad
