"""What NumPy keeps private about random number generators."""

from __future__ import annotations

from typing import Any

import numpy as np

_BIT_GENERATOR = "_bit_generator"


def bit_generator_class(generator: np.random.RandomState) -> Any:
    """The class of the bit generator that a ``RandomState`` draws from.

    Private: ``RandomState._bit_generator``, in NumPy 2.4.

    Without it: the class of that name in ``numpy.random``.

    Raises:
        AttributeError: There is none, as it is somebody's own.
    """
    found = getattr(generator, _BIT_GENERATOR, None)
    if found is not None:
        return type(found)
    state: Any = generator.get_state(legacy=False)
    return getattr(np.random, state["bit_generator"])
