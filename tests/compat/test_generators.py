"""The bit generators of NumPy, and the generators that belong to nobody."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from torchassistant.compat import generators
from torchassistant.data.object_rngs import generators_in

KINDS = [np.random.MT19937, np.random.PCG64, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_class_of_a_bit_generator(
    kind: type, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_there:
        monkeypatch.setattr(generators, "_BIT_GENERATOR", "_taken_away")
    assert generators.bit_generator_class(np.random.RandomState(kind(1))) is kind


def test_generators_that_belong_to_nobody_are_not_found_in_objects() -> None:
    shared = [np.random.mtrand._rand, random._inst, torch.default_generator]  # type: ignore[attr-defined]
    assert generators_in({"shared": shared}) == {}
    assert generators_in({"own": [random.Random(1)]}).keys() == {"own.0"}
