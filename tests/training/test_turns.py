"""The arithmetic of turns, against counting."""

from __future__ import annotations

from itertools import product

import pytest

from torchassistant.training.turns import Turn

TURNS = [
    Turn(repeat, every, first, by_epoch)
    for repeat, every, first, by_epoch in product((1, 3), (1, 2, 5), (0, 1, 4, 7), (False, True))
]


@pytest.mark.parametrize("begun", [0, 3, 10])
@pytest.mark.parametrize("turn", TURNS, ids=repr)
def test_steps_are_counted(turn: Turn, begun: int) -> None:
    start = 0 if turn.by_epoch else begun
    made = 0
    for iterations in range(20):
        assert turn.steps_in(iterations, begun) == made
        if turn.is_in(start + iterations):
            for steps in range(made + 1, made + turn.repeat + 1):
                assert turn.iterations_for(steps, begun) == iterations + 1
            made += turn.repeat


def test_a_turn_in_words() -> None:
    assert str(Turn()) == "1 step in each iteration"
    whole = Turn(5, 2, 100, by_epoch=True, restarts=True)
    assert str(whole) == "5 steps in one of 2 iterations, from number 100 of the epoch on, restarts"
