"""Losses."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, kl_div, log_softmax, mse_loss, softmax

from torchassistant.errors import DataError
from torchassistant.losses import (
    FeatureMatching,
    GradientPenalty,
    KLDistillation,
    MaskedCrossEntropy,
)

quick = settings(deadline=None, max_examples=40)


def batch(seed: int = 0, size: tuple[int, int, int] = (4, 6, 5)) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randn(*size, generator=generator, requires_grad=True)
    targets = torch.randint(0, size[2], size[:2], generator=generator)
    mask = torch.rand(size[:2], generator=generator) < 0.6
    return predictions, targets, mask


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@given(seed=st.integers(0, 10_000))
@quick
def test_it_is_the_cross_entropy_of_the_positions_that_count(reduction, smoothing, seed):
    predictions, targets, mask = batch(seed)
    mask[0, 0] = True
    loss = MaskedCrossEntropy(reduction=reduction, label_smoothing=smoothing)
    found = loss(predictions, targets, mask)
    expected = cross_entropy(
        predictions[mask], targets[mask], reduction=reduction, label_smoothing=smoothing
    )
    torch.testing.assert_close(found, expected)
    (mine,) = torch.autograd.grad(found, predictions)
    (torchs,) = torch.autograd.grad(expected, predictions)
    torch.testing.assert_close(mine, torchs)
    assert not mine[~mask].any()


def test_with_a_padding_value_it_is_torchs_cross_entropy_bit_for_bit():
    predictions, targets, _ = batch()
    found = MaskedCrossEntropy(padding_value=0)(predictions, targets)
    expected = cross_entropy(predictions.flatten(0, 1), targets.flatten(), ignore_index=0)
    assert torch.equal(found, expected)
    (mine,) = torch.autograd.grad(found, predictions)
    (torchs,) = torch.autograd.grad(expected, predictions)
    assert torch.equal(mine, torchs)


def test_without_mask_and_padding_every_position_counts():
    predictions, targets, _ = batch()
    found = MaskedCrossEntropy()(predictions, targets)
    assert torch.equal(found, cross_entropy(predictions.flatten(0, 1), targets.flatten()))


def test_a_mask_goes_before_the_padding_value():
    predictions, targets, mask = batch()
    mask[targets == 0] = True
    with_both = MaskedCrossEntropy(padding_value=0)(predictions, targets, mask)
    assert torch.equal(with_both, MaskedCrossEntropy()(predictions, targets, mask))


def test_what_stands_at_masked_positions_does_not_matter():
    predictions, targets, mask = batch()
    expected = MaskedCrossEntropy()(predictions, targets, mask)
    odd = torch.where(mask, targets, 10**6)
    assert torch.equal(MaskedCrossEntropy()(predictions, odd, mask), expected)
    other = torch.where(mask[..., None], predictions, 1e9)
    assert torch.equal(MaskedCrossEntropy()(other, targets, mask), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_nothing_counted_is_0_with_gradients_of_0(reduction, smoothing):
    predictions, targets, mask = batch()
    loss = MaskedCrossEntropy(reduction=reduction, label_smoothing=smoothing)
    found = loss(predictions, targets, torch.zeros_like(mask))
    found.backward()
    assert found.item() == 0
    assert not predictions.grad.any()


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (((2, 3), (2, 3), None), r"\(2, 3\) and \(2, 3\)"),
        (((2, 3, 4), (3, 2), None), r"\(2, 3, 4\) and \(3, 2\)"),
        (((2, 3, 4), (6,), None), r"\(2, 3, 4\) and \(6,\)"),
        (((2, 3, 4), (2, 3), (2, 1)), r"\(2, 1\) and \(2, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_both_named(shapes, said):
    predictions, targets, mask = shapes
    arguments = [torch.zeros(predictions), torch.zeros(targets, dtype=torch.int64)]
    if mask:
        arguments.append(torch.ones(mask, dtype=torch.bool))
    with pytest.raises(DataError, match=said):
        MaskedCrossEntropy()(*arguments)


def test_targets_that_are_no_classes_are_refused():
    with pytest.raises(DataError, match="found float32"):
        MaskedCrossEntropy()(torch.zeros(2, 3, 4), torch.zeros(2, 3))


@pytest.mark.parametrize(
    "arguments", [{"reduction": "none"}, {"label_smoothing": -0.1}, {"label_smoothing": 1.1}]
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        MaskedCrossEntropy(**arguments)


def test_it_never_reads_from_the_device():
    # A tensor of this device has no values: whoever asks for one raises.
    predictions, targets, mask = (tensor.to("meta") for tensor in batch())
    assert MaskedCrossEntropy(padding_value=0)(predictions, targets, mask).device.type == "meta"


@pytest.mark.parametrize("size", [(6, 5), (6, 5, 2, 3)])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_divergence_of_softened_probabilities(size, temperature):
    student, teacher = torch.randn(size, requires_grad=True), torch.randn(size, requires_grad=True)
    loss = KLDistillation(temperature)(student, teacher)
    expected = (
        kl_div(
            log_softmax(student / temperature, 1),
            softmax(teacher / temperature, 1),
            reduction="batchmean",
        )
        * temperature**2
    )
    assert torch.equal(loss, expected)
    loss.backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_distillation_has_the_gradient_of_the_cross_entropy_of_softened_scores():
    temperature = 4.0
    teacher = torch.randn(5, 10, dtype=torch.float64)
    student = torch.randn(5, 10, dtype=torch.float64, requires_grad=True)
    loss = KLDistillation(temperature)(student, teacher)
    expected = cross_entropy(student / temperature, softmax(teacher / temperature, 1))
    (gradient,) = torch.autograd.grad(loss, student)
    (wanted,) = torch.autograd.grad(temperature**2 * expected, student)
    torch.testing.assert_close(gradient, wanted)


def test_distillation_is_nothing_where_student_and_teacher_agree():
    scores = torch.randn(4, 3, dtype=torch.float64)
    assert KLDistillation(4.0)(scores, scores).item() == pytest.approx(0, abs=1e-12)
    assert KLDistillation()(scores, scores + 2).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_is_greater_than_0(temperature):
    with pytest.raises(ValueError, match="temperature must be greater than 0"):
        KLDistillation(temperature)


@pytest.mark.parametrize(("student", "teacher"), [((4, 3), (4, 2)), ((4,), (4,))])
def test_distillation_needs_scores_of_one_shape(student, teacher):
    with pytest.raises(DataError, match="of one shape from student and teacher"):
        KLDistillation()(torch.randn(student), torch.randn(teacher))


def test_features_are_matched_pair_by_pair():
    own = [torch.randn(4, n, requires_grad=True) for n in (2, 3, 5)]
    others = [torch.randn(4, n, requires_grad=True) for n in (2, 3, 5)]
    loss = FeatureMatching()(own, tuple(others))
    assert torch.equal(loss, sum(mse_loss(a, b) for a, b in zip(own, others, strict=True)))
    loss.backward()
    assert all(a.grad is not None and b.grad is None for a, b in zip(own, others, strict=True))
    assert torch.equal(FeatureMatching()(own[0], others[0]), mse_loss(own[0], others[0]))


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ([(2, 3)], [], "found 0 and 1"),
        ([], [], "found 0 and 0"),
        ([(2, 3)], [(2, 1)], r"found \(2, 3\) and \(2, 1\)"),
    ],
)
def test_features_without_a_partner_are_told(student, teacher, message):
    own, others = ([torch.randn(size) for size in sizes] for sizes in (student, teacher))
    with pytest.raises(DataError, match=message):
        FeatureMatching()(own, others)


class Rows(torch.nn.Module):
    def forward(self, x):
        return x.reshape(len(x), -1)


@pytest.mark.parametrize("size", [(6, 1), (6, 4), (6, 2, 3, 3)])
def test_a_gradient_penalty_looks_between_both(size):
    layer = torch.nn.Linear(math.prod(size[1:]), 5)
    critic = torch.nn.Sequential(Rows(), layer, torch.nn.Tanh())
    real, fake = torch.randn(size, requires_grad=True), torch.randn(size, requires_grad=True)
    torch.manual_seed(3)
    loss = GradientPenalty()(critic, real, fake)
    torch.manual_seed(3)
    share = torch.rand([6] + [1] * (len(size) - 1))
    between = (share * real.detach() + (1 - share) * fake.detach()).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norm = gradient.reshape(6, -1).norm(2, dim=1)
    torch.testing.assert_close(loss, ((norm - 1) ** 2).mean())
    loss.backward()
    assert real.grad is None and fake.grad is None
    assert layer.weight.grad is not None


def test_a_gradient_penalty_of_a_critic_whose_slope_is_1_is_nothing():
    critic = torch.nn.Linear(4, 1).double()
    torch.nn.init.constant_(critic.weight, 0.5)
    real, fake = torch.randn(2, 5, 4, dtype=torch.float64)
    assert GradientPenalty()(critic, real, fake).item() == pytest.approx(0, abs=1e-12)


def test_a_gradient_penalty_needs_samples_of_one_shape_and_a_tensor():
    with pytest.raises(DataError, match=r"found \(4, 3\) and \(4, 2\)"):
        GradientPenalty()(torch.nn.Identity(), torch.randn(4, 3), torch.randn(4, 2))
    with pytest.raises(DataError, match=r"found \(4,\) and \(4,\)"):
        GradientPenalty()(torch.nn.Identity(), torch.randn(4), torch.randn(4))
    with pytest.raises(DataError, match="found list"):
        GradientPenalty()(lambda x: [x], torch.randn(4, 3), torch.randn(4, 3))
