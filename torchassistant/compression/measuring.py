"""What a candidate weighs, and how long it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from torchassistant.errors import UserCodeError
from torchassistant.session import Session
from torchassistant.whole_files import own_memory

BATCH_SIZES = (1, 32)
_RUNS, _SECONDS = 30, 0.3


class ModelCall(NamedTuple):
    """What a model was called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Weight(NamedTuple):
    """What models weigh: bytes in memory and in files, and how many parameters that is."""

    size: int
    file: int
    parameters: int


def weight_of(models: Mapping[str, nn.Module]) -> Weight:
    """What models weigh; what they share counts once, but in each file that it stands in."""
    tensors: dict[tuple[int, int, torch.dtype], Tensor] = {}
    parameters: dict[int, int] = {}
    file = 0
    for model in models.values():
        state = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
        tensors |= {(t.data_ptr(), t.numel(), t.dtype): t for t in state.values()}
        parameters |= {id(one): one.numel() for one in model.parameters()}
        file += len(save(own_memory(state)))
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return Weight(size, file, sum(parameters.values()))


def calls_of(
    session: Session, pipeline: str, models: Mapping[str, nn.Module], batches: int
) -> list[tuple[str, ModelCall]]:
    """What models are called with when a pipeline is evaluated, in order.

    Args:
        session: Has the pipeline.
        pipeline: Its name.
        models: By name; calls of others are left out.
        batches: How many are run.
    """
    calls: list[tuple[str, ModelCall]] = []

    def noting(name: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            calls.append((name, ModelCall(args, dict(kwargs))))

        return note

    handles = [
        model.register_forward_pre_hook(noting(name), with_kwargs=True)
        for name, model in models.items()
    ]
    try:
        session.evaluate([pipeline], {pipeline: batches}, evaluators=())
    finally:
        for handle in handles:
            handle.remove()
    return calls


def latency_of(
    models: Mapping[str, nn.Module], calls: Sequence[tuple[str, ModelCall]]
) -> dict[str, float | None]:
    """Milliseconds of one call of each model, one after the other, by batch size; the median.

    None where the models cannot be called with a batch of that size.

    Args:
        models: By name.
        calls: What each was called with for one batch.
    """
    with _evaluating(models):
        return {str(size): _milliseconds(models, calls, size) for size in BATCH_SIZES}


def _milliseconds(
    models: Mapping[str, nn.Module], calls: Sequence[tuple[str, ModelCall]], size: int
) -> float | None:
    if not calls:
        return None
    cut = [(models[name], _with_rows(call, size)) for name, call in calls]

    def run() -> None:
        for model, call in cut:
            model(*call.args, **call.kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    try:
        run()
    except (RuntimeError, ValueError, IndexError, TypeError, UserCodeError):
        return None
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _SECONDS:
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def _with_rows(call: ModelCall, size: int) -> ModelCall:
    """The same call for a batch of another size: rows are left out, or repeated."""
    tensors = [t for t in _tensors_in((call.args, call.kwargs)) if t.ndim]
    rows = tensors[0].shape[0] if tensors else 0

    def cut(value: Any) -> Any:
        if isinstance(value, Tensor):
            axis = next((i for i, n in enumerate(value.shape[:2]) if n == rows), None)
            if axis is None or not rows:
                return value
            index = torch.arange(size, device=value.device) % rows
            return value.index_select(axis, index)
        if isinstance(value, dict):
            return {key: cut(one) for key, one in value.items()}
        if type(value) in (list, tuple):
            return type(value)(cut(one) for one in value)
        return value

    return ModelCall(cut(call.args), cut(call.kwargs))


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _tensors_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors_in(one)


@contextmanager
def _evaluating(models: Mapping[str, nn.Module]) -> Iterator[None]:
    before = [(part, part.training) for model in models.values() for part in model.modules()]
    for model in models.values():
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in before:
            part.training = mode
