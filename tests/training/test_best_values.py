"""Which values of a row are marked as the best so far."""

from __future__ import annotations

import math

from torchassistant.training import BestValues


def test_the_best_so_far() -> None:
    best = BestValues({"loss": "min", "acc": "max"}, [{"loss": 2.0, "acc": 0.5}])
    assert best.note({"loss": 2.0, "acc": 0.6}) == {"acc"}
    assert best.note({"loss": math.nan, "acc": None}) == set()
    assert best.note({"loss": 1.0, "other": -5.0}) == {"loss"}
    assert best.note({"loss": 1.0, "acc": 0.6}) == set()
