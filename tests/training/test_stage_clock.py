"""How long a stage still takes, and where its time went."""

from __future__ import annotations

import pytest

from torchassistant.training.stage_clock import StageClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time on the clock, in a list of one."""
    time = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: time[0])
    return time


def test_what_is_left(now: list[float]) -> None:
    clock = StageClock(5)
    clock.start_epoch(1)
    assert clock.left(0.0) is clock.left(None) is None
    now[0] += 2
    assert clock.left(0.25) == pytest.approx(3 * 8 + 6)
    now[0] += 8
    clock.finish_epoch()
    clock.start_epoch(2)
    assert clock.left(None) == pytest.approx(30)
    now[0] += 4
    assert clock.left(0.1) == pytest.approx(26)
    now[0] += 40
    assert clock.left(0.9) == pytest.approx(20)
    assert StageClock(None).left(0.5) is None


def test_shares_of_epochs_are_weighted_by_their_time(now: list[float]) -> None:
    clock = StageClock(2)
    assert clock.shares() == {}
    for seconds, share in ((1.0, 0.2), (3.0, 0.6)):
        clock.start_epoch(0)
        clock.note_shares({"data": share, "forward": 1 - share})
        now[0] += seconds
        clock.finish_epoch()
    assert clock.shares() == pytest.approx({"data": 0.5, "forward": 0.5})
    assert (clock.measured, clock.seconds) == (2, 4.0)
