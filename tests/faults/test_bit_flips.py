"""Single bit flips in the files of a session: never accepted silently."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from damage import InterruptedSession, complaint, interrupted_session
from faults import Tally, counted, rng_for, tallied
from process_harness import ProcessHarness

OLD = 0.1
"""The share of flips in checkpoints that are not the newest."""


def bit_flips(harness: ProcessHarness, folder: Path, count: int, tally: Tally) -> None:
    """Flip one bit at a time, load, and restore it."""
    session = interrupted_session(harness, folder)
    for number in range(count):
        name, bit = drawn(session, rng_for("flip", number))
        data = bytearray(session.files[name])
        data[bit // 8] ^= 1 << bit % 8
        (session.session / name).write_bytes(data)
        tally.note(
            f"flip {number}: bit {bit % 8} of byte {bit // 8} of {name}", complaint(session, name)
        )
        session.restore()


def drawn(session: InterruptedSession, random: Random) -> tuple[str, int]:
    """A bit: small files get as many flips as large ones, old checkpoints few."""
    old = tuple(f"checkpoints/{name}/" for name in session.names[:-1])
    wanted = random.random() < OLD
    names = [n for n, data in session.files.items() if data and n.startswith(old) == wanted]
    name = random.choice(names)
    return name, random.randrange(8 * len(session.files[name]))


def test_some_bit_flips(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("some bit flips")
    bit_flips(harness, tmp_path, 25, tally)
    tally.close()


@pytest.mark.faults
def test_bit_flips(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("a bit flip") as tally:
        bit_flips(harness, tmp_path, counted(10_000), tally)
