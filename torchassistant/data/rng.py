"""Everything random follows from one seed: named sub-seeds, and the state of every generator."""

from __future__ import annotations

import hashlib
import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch


def derived(seed: int, *names: str | int) -> int:
    """A seed for one purpose: 63 bits that follow from the run's seed and the purpose's names."""
    text = "\x1f".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # As torch.manual_seed does it, which imports the compiler of torch, and formats a stack each
    # time where there is no GPU.
    torch.default_generator.manual_seed(seed)
    if _has_cuda():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@cache
def _has_cuda() -> bool:
    return torch.cuda.is_available()


def random_state() -> dict[str, Any]:
    """The state of every generator, as plain data and tensors."""
    version, internal, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=True)
    kind, keys, position, has_gauss, cached = numpy_state
    state: dict[str, Any] = {
        "python": [version, list(internal), gauss],
        "numpy": [kind, torch.from_numpy(keys.copy()), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what :func:`random_state` gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.asarray(keys), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(cuda_state, device)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def expect_random_state(state: Any) -> None:
    """See that something is what :func:`random_state` gives, before any of it is put back.

    Raises:
        Exception: It is not; whatever the generators raise.
    """
    expect_state_of(random.Random(), tuple(state["python"]))
    kind, keys, position, has_gauss, cached = state["numpy"]
    legacy = (kind, np.asarray(keys), position, has_gauss, cached)
    expect_state_of(np.random.RandomState(), legacy)
    expect_state_of(torch.Generator(), state["torch"])
    for other in [*state.get("cuda", []), *([state["mps"]] if "mps" in state else [])]:
        if not (other.dtype is torch.uint8 and other.ndim == 1):
            raise ValueError("the state of a device is not a row of bytes")


def expect_state_of(fresh: Any, state: Any) -> None:
    """See that a state fits a generator, by putting it into one that nobody needs.

    Args:
        fresh: A generator of its kind.
        state: Of a :class:`random.Random`, a generator of NumPy or one of torch.

    Raises:
        Exception: It does not fit; whatever the generator raises.
    """
    if isinstance(fresh, torch.Generator):
        fresh.set_state(state)
    elif isinstance(fresh, random.Random):
        version, internal, gauss = state
        fresh.setstate((version, tuple(internal), gauss))
        if not (gauss is None or type(gauss) is float):
            raise ValueError("a number that is left over is none")
    else:
        described: Any = state if isinstance(state, dict) else {"pos": state[2], "gauss": state[4]}
        # NumPy takes any position, and reads beyond its memory there.
        for key, most in (("pos", 624), ("buffer_pos", 4)):
            for where in (described, described.get("state")):
                position = where.get(key, 0) if isinstance(where, dict) else 0
                if not 0 <= operator.index(position) <= most:
                    raise ValueError(f"{key} is {position}")
        if isinstance(fresh, np.random.RandomState):
            fresh.set_state(state)
            fresh.standard_normal()
        else:
            fresh.bit_generator.state = state


def same_state(one: Any, other: Any) -> bool:
    """Whether two states of generators are the same."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_state, one, other))
    return bool(one == other)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of their own inside; outside, nothing is drawn."""
    before = random_state()
    seed_everything(seed)
    try:
        yield
    finally:
        set_random_state(before)
