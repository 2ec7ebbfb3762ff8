"""Stop conditions."""

from __future__ import annotations

import math

import pytest

from torchassistant.errors import DataError
from torchassistant.stop_conditions import (
    AllOf,
    AnyOf,
    EarlyStopping,
    EpochsCompleted,
    IterationsCompleted,
    TargetReached,
    TimeElapsed,
)


def rows(*losses, seconds=1.0):
    return [
        {"epoch": i, "step": 10 * i, "loss": loss, "seconds": seconds}
        for i, loss in enumerate(losses, start=1)
    ]


def stops_after(condition, history):
    """The epoch after which the stage ends, or None."""
    answers = [condition(i, history[:i]) for i in range(1, len(history) + 1)]
    assert all(type(answer) is bool for answer in answers)
    return answers.index(True) + 1 if True in answers else None


def test_epochs_completed():
    assert stops_after(EpochsCompleted(3), rows(1, 1, 1, 1)) == 3
    assert EpochsCompleted(3)(7, rows(1))


class Counted(list):
    """A history that knows the iterations of its stage."""

    iterations = 0


def test_iterations_completed_reads_the_step():
    assert stops_after(IterationsCompleted(15), rows(1, 1, 1)) == 2
    assert stops_after(IterationsCompleted(20), rows(1, 1, 1)) == 2
    assert stops_after(IterationsCompleted(31), rows(1, 1, 1)) is None


def test_iterations_completed_prefers_what_the_stage_has_made():
    history = Counted(rows(1, 1, 1))
    history.iterations = 19
    assert not IterationsCompleted(20)(3, history)
    history.iterations = 20
    assert IterationsCompleted(20)(3, history)


@pytest.mark.parametrize(
    ("losses", "arguments", "expected"),
    [
        ([3, 2, 1, 1, 0], {}, 4),
        ([3, 2, 1, 1.5, 0.5], {"patience": 2}, None),
        ([3, 2, 2, 2, 1], {"patience": 2}, 4),
        ([3, 2.75, 2.5, 2.25], {"min_delta": 0.5, "patience": 2}, 3),
        # Slow progress adds up: 2.25 is better than the last that counted, 3, by more than 0.5.
        ([3, 2.75, 2.25, 2.0], {"min_delta": 0.5, "patience": 2}, None),
        ([3, 2, 1], {"min_delta": 1.0}, 2),
        ([1, 2, 3, 3, 4], {"mode": "max"}, 4),
        ([3, 2, 4], {"mode": "max"}, 2),
        ([math.nan, 1, 0.5], {}, 1),
        ([1, math.nan, math.nan, 0.5], {"patience": 2}, 3),
        ([1, math.nan, 0.5, math.nan, 0.2], {"patience": 2}, None),
        ([math.nan, math.nan, 1], {"mode": "max", "patience": 2}, 2),
        ([math.inf, 1, 0.5], {"patience": 2}, None),
        ([None, 1, 0.5], {"patience": 2}, None),
    ],
)
def test_early_stopping(losses, arguments, expected):
    assert stops_after(EarlyStopping("loss", **arguments), rows(*losses)) == expected


def test_early_stopping_remembers_nothing():
    condition = EarlyStopping("loss", patience=2)
    history = rows(3, 2, 2, 2)
    assert [condition(4, history) for _ in range(3)] == [True] * 3
    assert not condition(2, history[:2])


@pytest.mark.parametrize("arguments", [{"seconds": 3}, {"minutes": 0.05}, {"hours": 3 / 3600}])
def test_time_elapsed(arguments):
    assert stops_after(TimeElapsed(**arguments), rows(1, 1, 1, 1)) == 3


def test_time_adds_up():
    assert stops_after(TimeElapsed(seconds=30, minutes=1), rows(1, 1, 1, seconds=45)) == 2


@pytest.mark.parametrize(
    ("target", "mode", "values", "expected"),
    [
        (0.9, "max", [0.5, 0.9, 1], 2),
        (0.9, "max", [0.5, 0.8], None),
        (0.1, "min", [0.5, 0.1, 0], 2),
        (0.1, "min", [0.5, math.nan], None),
        (0.1, "max", [math.nan, None], None),
        (-1, "max", [-2, -1], 2),
    ],
)
def test_target_reached(target, mode, values, expected):
    assert stops_after(TargetReached("loss", target, mode), rows(*values)) == expected


def test_any_and_all():
    history = rows(5, 4, 3, 2, 1)
    early, late = EpochsCompleted(2), TargetReached("loss", 2, mode="min")
    assert stops_after(AnyOf([early, late]), history) == 2
    assert stops_after(AllOf([early, late]), history) == 4
    assert stops_after(AnyOf([AllOf([early, late]), EpochsCompleted(3)]), history) == 3


@pytest.mark.parametrize("make", [AnyOf, AllOf])
def test_conditions_come_in_a_list_or_one_by_one(make):
    conditions = [EpochsCompleted(1), EpochsCompleted(2)]
    for built in (make(conditions), make(*conditions), make(conditions=conditions)):
        assert built.conditions == conditions


@pytest.mark.parametrize("make", [AnyOf, AllOf])
def test_all_conditions_are_always_asked(make):
    asked = []

    def condition(answer):
        return lambda epoch, history: asked.append(answer) or answer

    make([condition(True), condition(False), condition(True)])(1, [])
    assert asked == [True, False, True]


@pytest.mark.parametrize("condition", [EarlyStopping("los"), TargetReached("los", 1)])
def test_a_wrong_monitor_is_told_with_the_near_name(condition):
    with pytest.raises(DataError, match=r'"los", which is not measured; did you mean "loss"\?'):
        condition(1, rows(1))


def test_a_wrong_monitor_is_told_with_what_is_measured():
    history = [{"epoch": 1, "step": 1, "val loss": 1, "accuracy": 1, "seconds": 1}]
    with pytest.raises(DataError, match=r'; there are "accuracy", "val loss"$'):
        EarlyStopping("zzz")(1, history)
    with pytest.raises(DataError, match="this stage measures nothing"):
        EarlyStopping("zzz")(1, [{"epoch": 1, "step": 1, "seconds": 1}])


@pytest.mark.parametrize(
    "condition",
    [EarlyStopping("x"), TargetReached("x", 0), TimeElapsed(1), IterationsCompleted(1)],
)
def test_before_the_first_epoch_nothing_stops(condition):
    assert condition(0, []) is False


@pytest.mark.parametrize(
    "make",
    [
        lambda: EpochsCompleted(0),
        lambda: IterationsCompleted(0),
        lambda: EarlyStopping("x", patience=0),
        lambda: EarlyStopping("x", min_delta=-1),
        lambda: EarlyStopping("x", min_delta=math.nan),
        lambda: EarlyStopping("x", mode="best"),
        lambda: TargetReached("x", 1, mode="best"),
        lambda: TargetReached("x", math.nan),
        lambda: TimeElapsed(),
        lambda: TimeElapsed(seconds=-1, minutes=1),
        lambda: TimeElapsed(seconds=math.nan),
        lambda: AnyOf([]),
        lambda: AllOf([]),
        lambda: AnyOf([1]),
        lambda: AnyOf("EpochsCompleted"),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


class CountsCalls:
    """A condition with a state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, epoch_in_stage, history):
        self.calls += 1
        return self.calls >= 3

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


@pytest.mark.parametrize("kind", [AnyOf, AllOf])
def test_the_state_of_inner_conditions_is_stored(kind):
    condition = kind([EpochsCompleted(9), kind([CountsCalls()])])
    condition(1, [])
    condition(2, [])
    again = kind([EpochsCompleted(9), kind([CountsCalls()])])
    again.load_state_dict(condition.state_dict())
    assert again.conditions[1].conditions[0].calls == 2


class Patient:
    """One of the user's own, that sets no number."""

    num_epochs = "many"

    def __call__(self, epoch_in_stage: int, history: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("condition", "epochs"),
    [
        (AnyOf(EpochsCompleted(20), EarlyStopping("loss")), 20),
        (AnyOf(EarlyStopping("loss"), EpochsCompleted(20), EpochsCompleted(7)), 7),
        (AnyOf(EarlyStopping("loss"), Patient()), None),
        (AllOf(EpochsCompleted(20), EpochsCompleted(7)), 20),
        (AllOf(EpochsCompleted(20), EarlyStopping("loss")), None),
        (AllOf(AnyOf(EpochsCompleted(3), Patient()), EpochsCompleted(2)), 3),
        (AnyOf(AllOf(EpochsCompleted(9), Patient()), EpochsCompleted(12)), 12),
    ],
)
def test_how_many_epochs_there_may_be(condition: AnyOf | AllOf, epochs: int | None) -> None:
    assert condition.num_epochs == epochs
