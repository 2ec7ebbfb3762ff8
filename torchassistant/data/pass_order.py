"""Which examples a pass over a dataset meets, batch by batch, without loading any."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from torchassistant.data.batch_sampler import CustomBatchSampler, ResumableBatchSampler
from torchassistant.data.port import Port
from torchassistant.data.restarting_port import APART
from torchassistant.data.rng import same_state
from torchassistant.errors import SessionError


def has_order(port: Port) -> bool:
    """Whether the examples of a port have indices, as those of a stream have not."""
    return port.loader.batch_sampler is not None


def order_of_pass(port: Port, number: int) -> Iterator[list[Any]]:
    """The indices of each batch of a pass, in the dataset as a whole; without an end where the
    port restarts.

    Args:
        port: One that has an order.
        number: Of the pass, from 0.

    Raises:
        SessionError: Its sampler keeps something from pass to pass, and only goes forward.
    """
    loader, sampler = port.loader, port.loader.batch_sampler
    assert sampler is not None, "a stream has no order"
    for again in count():
        is_empty = True
        for batch in _batches(sampler, number + again * APART, port.source):
            is_empty = False
            yield [loader.origin.index_in_whole(index) for index in batch]
        if is_empty or not port.restarts:
            return


def _batches(sampler: ResumableBatchSampler, number: int, source: str) -> list[list[Any]]:
    if not isinstance(sampler, CustomBatchSampler):
        sampler.start(number, 0)
        return list(map(list, sampler))
    state = sampler.sampler_state
    unknown = SessionError(
        f'the order of "{source}" is not known afterwards: its sampler keeps something from pass '
        "to pass"
    )
    if state.own:
        raise unknown
    before = state.state()
    sampler.start(number, 0)
    found = list(map(list, sampler))
    is_still = same_state(before, state.state())
    state.set_state(before)
    if not is_still:
        raise unknown
    return found
