"""Recurrent layers as a loop in the file, for texts of any length, packed ones too.

torch writes the steps of an LSTM out one by one while it is traced, so that a file would take
sequences of one length only, and it cannot trace what ``pack_padded_sequence`` gives. Here a layer
is a scan over time. What is packed stays padded, (T, B, ...), with the sizes of the batch at each
time beside it, which say where padding begins: the state of a sequence stays as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from torchassistant.compat import recurrence

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]


@contextmanager
def traceable_recurrence() -> Iterator[None]:
    """Recurrent layers and packed sequences can be traced in here, for sequences of any length."""
    layers = {nn.LSTM: _lstm, nn.GRU: _gru, nn.RNN: _gru}
    with recurrence.replaced(layers, _pack, _pad):
        yield


def _lstm(self: nn.LSTM, input: Any, hx: Any = None) -> Any:
    found, states = _run(self, input, hx)
    return found, (states[0], states[1])


def _gru(self: nn.RNNBase, input: Any, hx: Any = None) -> Any:
    found, states = _run(self, input, None if hx is None else (hx,))
    return found, states[0]


def _run(layer: nn.RNNBase, input: Any, first: Any) -> tuple[Any, State]:
    """What a recurrent module gives, and its last states."""
    if isinstance(input, PackedSequence):
        order, back = input.sorted_indices, input.unsorted_indices
        if first is not None and order is not None:
            first = tuple(state.index_select(1, order) for state in first)
        found, states = _layers(layer, input.data, first, _mask(input.batch_sizes, input.data))
        if back is not None:
            states = tuple(state.index_select(1, back) for state in states)
        return PackedSequence(found, input.batch_sizes, order, back), states
    if input.dim() == 2:
        first = None if first is None else tuple(state.unsqueeze(1) for state in first)
        found, states = _layers(layer, input.unsqueeze(1), first, None)
        return found.squeeze(1), tuple(state.squeeze(1) for state in states)
    by_time = input.transpose(0, 1) if layer.batch_first else input
    found, states = _layers(layer, by_time, first, None)
    return found.transpose(0, 1) if layer.batch_first else found, states


def _layers(
    layer: nn.RNNBase, values: Tensor, first: State | None, mask: Tensor | None
) -> tuple[Tensor, State]:
    """All layers, both directions: (T, B, I) to (T, B, directions · H), and the last states."""
    directions = 2 if layer.bidirectional else 1
    last: list[State] = []
    for depth in range(layer.num_layers):
        found = []
        for direction in range(directions):
            begin = _first(layer, values, first, depth * directions + direction)
            weights = _weights(layer, depth, direction)
            outputs, state = _one(layer, weights, values, begin, mask, backwards=direction == 1)
            found.append(outputs)
            last.append(state)
        values = torch.cat(found, dim=-1) if directions == 2 else found[0]
    return values, tuple(torch.stack(states) for states in zip(*last, strict=True))


def _first(layer: nn.RNNBase, values: Tensor, first: State | None, index: int) -> State:
    if first is not None:
        return tuple(state[index] for state in first)
    batch = values.shape[1]
    hidden = values.new_zeros(batch, layer.proj_size or layer.hidden_size)
    if not isinstance(layer, nn.LSTM):
        return (hidden,)
    return hidden, values.new_zeros(batch, layer.hidden_size)


def _weights(layer: nn.RNNBase, depth: int, direction: int) -> dict[str, Any]:
    suffix = f"_l{depth}" + ("_reverse" if direction else "")
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    return {name: getattr(layer, name + suffix, None) for name in names}


def _one(
    layer: nn.RNNBase,
    weights: dict[str, Any],
    values: Tensor,
    first: State,
    mask: Tensor | None,
    backwards: bool,
) -> tuple[Tensor, State]:
    """One layer in one direction: its outputs (T, B, H), and its last state."""
    step = _step_of(layer, weights)
    gates = linear(values, weights["weight_ih"], weights["bias_ih"])
    inputs: State = (gates,) if mask is None else (gates, mask)
    if backwards:
        inputs = tuple(value.flip(0) for value in inputs)

    def stepped(state: State, given: State) -> tuple[State, Tensor]:
        new = step(given[0], state)
        if mask is None:
            return new, new[0].clone()
        kept = tuple(torch.where(given[1], a, b) for a, b in zip(new, state, strict=True))
        return kept, torch.where(given[1], new[0], 0.0)

    last, outputs = recurrence.scan(stepped, tuple(state.clone() for state in first), inputs)
    return outputs.flip(0) if backwards else outputs, tuple(last)


def _step_of(layer: nn.RNNBase, weights: dict[str, Any]) -> Step:
    """What a layer does at one time: from its gates, and its state, to its next state.

    It holds tensors only, as what is scanned must not look into a module.
    """
    weight, bias = weights["weight_hh"], weights["bias_hh"]
    if isinstance(layer, nn.LSTM):
        return _lstm_step(weight, bias, weights["weight_hr"])
    if isinstance(layer, nn.GRU):
        return _gru_step(weight, bias)
    return _rnn_step(weight, bias, torch.tanh if layer.nonlinearity == "tanh" else torch.relu)


def _lstm_step(weight: Tensor, bias: Tensor | None, projection: Tensor | None) -> Step:
    def step(gates: Tensor, state: State) -> State:
        hidden, cell = state
        let_in, forget, new, let_out = (gates + linear(hidden, weight, bias)).chunk(4, dim=1)
        cell = forget.sigmoid() * cell + let_in.sigmoid() * new.tanh()
        hidden = let_out.sigmoid() * cell.tanh()
        return (hidden if projection is None else linear(hidden, projection)), cell

    return step


def _gru_step(weight: Tensor, bias: Tensor | None) -> Step:
    def step(gates: Tensor, state: State) -> State:
        (hidden,) = state
        reset, update, new = gates.chunk(3, dim=1)
        own_reset, own_update, own_new = linear(hidden, weight, bias).chunk(3, dim=1)
        update = (update + own_update).sigmoid()
        new = (new + (reset + own_reset).sigmoid() * own_new).tanh()
        return ((1 - update) * new + update * hidden,)

    return step


def _rnn_step(weight: Tensor, bias: Tensor | None, activation: Callable[[Tensor], Tensor]) -> Step:
    def step(gates: Tensor, state: State) -> State:
        (hidden,) = state
        return (activation(gates + linear(hidden, weight, bias)),)

    return step


def _pack(values: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """What is packed: padded values (T, B, ...), and how many sequences go on at each time (T,)."""
    by_time = values.transpose(0, 1) if batch_first else values
    times = torch.arange(by_time.shape[0])
    return by_time, (lengths[None, :] > times[:, None]).sum(1)


def _pad(
    values: Tensor, sizes: Tensor, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Tensor, Tensor]:
    """The reverse of :func:`_pack`: the values, and the lengths (B,)."""
    mask = _mask(sizes, values)
    found = torch.where(
        mask.reshape(*mask.shape[:2], *(1,) * (values.dim() - 2)), values, padding_value
    )
    missing = total_length - values.shape[0]
    if missing != 0:
        more = values.new_full((missing, *values.shape[1:]), padding_value)
        found = torch.cat([found, more])
    lengths = mask[:, :, 0].sum(0)
    return found.transpose(0, 1) if batch_first else found, lengths


def _mask(sizes: Tensor, values: Tensor) -> Tensor:
    """Where a sequence goes on: bool (T, B, 1)."""
    rows = torch.arange(values.shape[1])
    return (rows[None, :] < sizes[:, None]).unsqueeze(-1)
