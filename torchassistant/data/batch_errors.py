"""Which example is to blame where a batch does not fit: looked for only when something has failed.

Nothing is watched while all is well. Where a batch fails, its examples are asked for once more, and
compared with each other and with some more of the dataset.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import ConcatDataset, IterableDataset, Subset, get_worker_info

from torchassistant.data.cached_dataset import CachedDataset
from torchassistant.data.datasets import MergedDataset, PreprocessedDataset
from torchassistant.data.mismatch import Mismatch, find_mismatch
from torchassistant.data.object_rngs import object_rngs_seeded
from torchassistant.data.rng import seeded
from torchassistant.errors import DataError, UserCodeError, UserError

_MOST_OTHERS = 24
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where the examples of a loader come from.

    Args:
        dataset: Gives examples by index, or one after the other.
        name: What the config calls it.
        named: The datasets of the config by name, to name those that it is made of.
        by_example: Whether it is asked for examples, and not for whole batches.
    """

    dataset: Any
    name: str = ""
    named: Mapping[str, Any] = field(default_factory=dict)
    by_example: bool = True

    @property
    def is_stream(self) -> bool:
        """Whether it can only be read from its beginning."""
        return isinstance(self.dataset, IterableDataset)

    def place(self, index: Any, depth: int | None = None) -> str:
        """An example in words, by the innermost dataset with a name, and by this one.

        Args:
            index: Of the example, in this dataset.
            depth: How deep to go; None goes to the ground.
        """
        steps = list(_steps(self.dataset, index))
        steps = steps if depth is None else steps[: depth + 1]
        named = [(name, i) for dataset, i in steps if (name := self._name(dataset))]
        name, inner = named[-1] if named else (self.name, index)
        here = f' ({index} of "{self.name}")' if inner != index and name != self.name else ""
        return f'example {inner} of the dataset "{name}"{here}'

    def index_in_whole(self, index: Any) -> Any:
        """The index of an example in the dataset that this one is slices of, or laid around."""
        steps = _steps(self.dataset, index)
        for dataset, inner in steps:
            if not isinstance(dataset, (Subset, PreprocessedDataset, CachedDataset)):
                return inner
        return index

    def _name(self, dataset: Any) -> str:
        known = (name for name, one in self.named.items() if one is dataset)
        return next(known, self.name if dataset is self.dataset else "")


def _steps(dataset: Any, index: Any) -> Iterator[tuple[Any, Any]]:
    """A dataset and the index of an example there, then the same for what it is laid around."""
    while True:
        yield dataset, index
        if isinstance(dataset, Subset):
            dataset, index = dataset.dataset, dataset.indices[index]
        elif isinstance(dataset, (PreprocessedDataset, CachedDataset)):
            dataset = dataset.dataset
        elif isinstance(dataset, (MergedDataset, ConcatDataset)):
            ends = dataset.ends if isinstance(dataset, MergedDataset) else dataset.cumulative_sizes
            which = bisect_right(ends, index)
            dataset, index = dataset.datasets[which], index - (ends[which - 1] if which else 0)
        else:
            return


def mismatched_example(
    origin: Origin, indices: Sequence[Any], names: Sequence[str] | None
) -> Mismatch | None:
    """The example of a batch that is not like the others of its dataset.

    Args:
        origin: Where they come from.
        indices: Of the examples of the batch.
        names: The names of the columns.

    Returns:
        It, with what it is in its ``text``; None where there is none, or that is unknown.
    """

    def look() -> Mismatch | None:
        examples = [origin.dataset[index] for index in indices]
        mismatch = find_mismatch(examples, list(_others(origin.dataset, indices)), names)
        if mismatch is None:
            return None
        return mismatch._replace(text=f"{origin.place(indices[mismatch.row])} {mismatch.text}")

    found: Mismatch | None = _looked_at(origin, look) if origin.by_example else None
    return found


def failure_of(
    origin: Origin, indices: Sequence[Any], names: Sequence[str] | None, error: Exception
) -> Exception | None:
    """What there is to say where a loader could not make a batch of some examples.

    Args:
        origin: Where they come from.
        indices: Of the examples of the batch.
        names: The names of the columns.
        error: What was raised.

    Returns:
        A ``DataError`` where one of the examples differs from the others, or a preprocessor refuses
        it; a ``UserCodeError`` where the user's code raised for one of them; None where that cannot
        be told.
    """

    def look() -> Exception | None:
        for index in indices:
            failed = _deepest_failure(origin.dataset, index)
            if failed is not None:
                return _blamed(origin, indices, index, names, *failed, error)
        return None

    found: Exception | None = _looked_at(origin, look)
    if found is not None:
        return found
    mismatch = mismatched_example(origin, indices, names)
    return None if mismatch is None else DataError(mismatch.text)


def failure_of_fit(origin: Origin, error: Exception, column: int | None) -> Exception:
    """What there is to say where something could not be learnt from a dataset.

    Args:
        origin: The dataset.
        error: What was raised; it is given back where no example is to blame.
        column: The one that it is learnt from; None is all.
    """

    def look() -> Exception | None:
        examples = []
        for index in range(len(origin.dataset)):
            failed = _deepest_failure(origin.dataset, index)
            if failed is not None:
                return _blamed(origin, [index], index, None, *failed, error)
            examples.append(origin.dataset[index])
        mismatch = find_mismatch(examples, (), None, column)
        if mismatch is None:
            return None
        said = str(error).partition("\n")[0]
        return DataError(
            f"{origin.place(mismatch.row)} {mismatch.text} (nothing could be learnt of it: {said})"
        )

    found: Exception | None = _looked_at(origin, look)
    return found or error


def _deepest_failure(dataset: Any, index: Any) -> tuple[int, Exception] | None:
    """How deep the innermost dataset is that raises for an example, and what it raises."""
    found = None
    for depth, (inner, place) in enumerate(_steps(dataset, index)):
        try:
            inner[place]
        except Exception as error:
            found = depth, error
        else:
            break
    return found


def _blamed(
    origin: Origin,
    indices: Sequence[Any],
    index: Any,
    names: Sequence[str] | None,
    depth: int,
    again: Exception,
    error: Exception,
) -> Exception:
    """An example for which a dataset at some depth raises, and the one below it does not."""
    dataset, _ = list(_steps(origin.dataset, index))[depth]
    where = origin.place(index, depth)
    if isinstance(dataset, PreprocessedDataset):
        raw = _raw(origin, indices, index, depth, dataset)
        mismatch = None if raw is None else find_mismatch(*raw, names)
        if mismatch is not None:
            return DataError(f"{origin.place(index)} {mismatch.text}")
        if isinstance(again, UserError):
            return DataError(f"{where}: {again}")
        where = f"a preprocessor, at {where}"
    elif isinstance(again, UserError):
        return DataError(f"{where}: {again}")
    blamed = UserCodeError(where)
    blamed.__cause__ = error
    return blamed


def _raw(
    origin: Origin, indices: Sequence[Any], index: Any, depth: int, dataset: PreprocessedDataset
) -> tuple[list[Any], list[Any]] | None:
    """An example as a preprocessor gets it, and others of its batch and its dataset."""
    inner = dataset.dataset
    places = {}
    for one in indices:
        steps = list(_steps(origin.dataset, one))
        if len(steps) > depth and steps[depth][0] is dataset:
            places[one] = steps[depth][1]
    own = places.pop(index)
    beside = [inner[place] for place in places.values() if _can_be_read(inner, place)]
    return [inner[own]], [*beside, *_others(inner, [own, *places.values()])]


def _can_be_read(dataset: Any, index: Any) -> bool:
    with suppress(Exception):
        dataset[index]
        return True
    return False


def _others(dataset: Any, indices: Sequence[Any]) -> Iterator[Any]:
    """Some more examples of a dataset, from all over it."""
    count = len(dataset)
    known = set(indices)
    for index in range(0, count, max(1, count // _MOST_OTHERS)):
        if index not in known:
            with suppress(Exception):
                yield dataset[index]


def _looked_at(origin: Origin, look: Callable[[], Any]) -> Any:
    """What a look at a dataset finds. It draws nothing, and what it raises is nobody's concern."""
    try:
        with seeded(0), object_rngs_seeded({"dataset": origin.dataset}, 0):
            return look()
    except Exception:
        return None


def shown_indices(origin: Origin, indices: Sequence[Any]) -> str:
    """The examples of a batch in words."""
    if len(indices) == 1:
        return origin.place(indices[0], depth=0)
    shown = ", ".join(map(str, indices[:_MOST_SHOWN]))
    more = f", … ({len(indices)} in all)" if len(indices) > _MOST_SHOWN else ""
    return f'one of the examples {shown}{more} of the dataset "{origin.name}"'


class StreamCollator:
    """A collator of a stream, whose examples cannot be asked for again: it looks at them itself.

    Args:
        collate: Examples → batch.
        origin: Where they come from.
    """

    def __init__(self, collate: Callable[[Any], Any], origin: Origin) -> None:
        self.collate = collate
        self.name = origin.name
        self.seen = 0
        self.first: list[Any] = []

    def __call__(self, examples: list[Any]) -> Any:
        """The batch of some examples.

        Raises:
            DataError: It fails, and one of the examples is not like the others.
        """
        try:
            batch = self.collate(examples)
        except Exception:
            mismatch = find_mismatch(examples, self.first)
            if mismatch is None:
                raise
            info = get_worker_info()
            by = (
                f" that worker {info.id} reads" if info is not None and info.num_workers > 1 else ""
            )
            where = f'example {self.seen + mismatch.row}{by} of the dataset "{self.name}"'
            raise DataError(f"{where} {mismatch.text}") from None
        self.seen += len(examples)
        self.first = self.first or list(examples[:_MOST_OTHERS])
        return batch
