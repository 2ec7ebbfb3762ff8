"""A callback of a run, and what is stored with it: its random numbers, and values that wait."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from torchassistant.callbacks import Callback
from torchassistant.data import (
    derived,
    expect_states_of,
    generators_in,
    has_state,
    set_states_of,
    states_of,
)
from torchassistant.errors import DataError, SessionError, blaming, listing, near
from torchassistant.training.losses.running_mean import RunningMean


class NamedCallback:
    """A callback, under the name that it has in a run.

    Args:
        name: Unique in the run.
        callback: The object.
        columns: The columns of the history that it may add values for.
        seed: Of the run; its own random numbers follow from that and the name.

    Attributes:
        generator: On the CPU.
        added: Values by column, for the next row.
        means: Means by column, for the next row.
        is_silent: Whether it is not called, as another process does that.
    """

    def __init__(self, name: str, callback: Callback, columns: Sequence[str], seed: int) -> None:
        self.name = name
        self.callback = callback
        self.columns = columns
        self.generator = torch.Generator().manual_seed(derived(seed, "callback", name))
        self.added: dict[str, Any] = {}
        self.means: dict[str, RunningMean] = {}
        self.is_silent = False

    def __str__(self) -> str:
        return f'the callback "{self.name}"'

    def add(self, name: str, value: Any, row: dict[str, Any] | None) -> None:
        """Note a value for a column.

        Args:
            name: One of its columns.
            value: A number, or a tensor with one element, which is read when the row is written.
            row: Where it stands at once; None: in the row that comes.

        Raises:
            DataError: It is neither, or there is no such column.
        """
        self._expect_number(name, value)
        if isinstance(value, Tensor):
            value = value.detach().clone()
        if row is None:
            self.added[name] = value
        else:
            row[name] = _number(value)

    def add_to_mean(self, name: str, value: Any, terms: Any, row: dict[str, Any] | None) -> None:
        """Note a value for a column that is the mean of such.

        Args:
            name: One of its columns.
            value: A number, or a tensor with one element, which is read when the row is written.
            terms: Of how many terms it is the mean.
            row: None: it stands in the row that comes.

        Raises:
            DataError: One is no number, there is no such column, or the row is made already.
        """
        self._expect_number(name, value)
        self._expect_number(name, terms)
        if row is not None:
            raise DataError(f'{self} adds to the mean "{name}" of a row that is made already')
        if not isinstance(value, Tensor):
            value = torch.tensor(float(value), dtype=torch.float64)
        self.means.setdefault(name, RunningMean()).add(value.detach().clone(), terms)

    def _expect_number(self, name: str, value: Any) -> None:
        if name not in self.columns:
            known = near(name, self.columns) or "; it declares none"
            raise DataError(f'{self} adds "{name}", which is none of its columns{known}')
        if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
            return
        if not isinstance(value, Real):
            raise DataError(f'{self} adds {_described(value)} for "{name}", which is no number')

    def fill(self, row: dict[str, Any]) -> None:
        """Give a row what was added since the last one; None where that is nothing."""
        for name in self.columns:
            value = self.added.get(name)
            row[name] = None if value is None else _number(value)
        for name, mean in self.means.items():
            if mean.state[1]:
                row[name] = mean.value()
        self.added.clear()
        self.means.clear()

    def state(self) -> dict[str, Any]:
        """What is stored of it beside what the object keeps."""
        added = {name: _number(value) for name, value in self.added.items()}
        means = {name: list(mean.state) for name, mean in self.means.items()}
        return {"generator": self.generator.get_state(), "added": added, "means": means}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave."""
        self.generator.set_state(state["generator"])
        self.added = dict(state["added"])
        means = state.get("means", {})
        self.means = {name: RunningMean(state=(s, n)) for name, (s, n) in means.items()}

    def state_of_object(self) -> dict[str, Any]:
        """What the object keeps: its state, if it has one, and its random number generators."""
        kept = {"generators": states_of(generators_in({self.name: self.callback}))}
        if has_state(self.callback):
            kept["state"] = self.callback.state_dict()  # type: ignore[attr-defined]
        return kept

    def set_state_of_object(self, kept: Mapping[str, Any]) -> None:
        """Put back what :meth:`state_of_object` gave.

        Raises:
            SessionError: It is the state of something else.
        """
        generators = generators_in({self.name: self.callback})
        try:
            expect_states_of(generators, kept["generators"])
            if "state" in kept and has_state(self.callback):
                self.callback.load_state_dict(kept["state"])  # type: ignore[attr-defined]
        except Exception as error:
            raise SessionError(
                f"the stored state of {self} does not fit its code: {error}"
            ) from error
        set_states_of(generators, kept["generators"])

    def noted(self) -> Callable[[], None]:
        """Notes all of that; puts it back."""
        own, kept = self.state(), copy.deepcopy(self.state_of_object())

        def put_back() -> None:
            self.set_state(own)
            self.set_state_of_object(kept)

        return put_back


def columns_of(callback: Callback, name: str, session: Any) -> list[str]:
    """The columns of the history that a callback declares.

    Args:
        callback: Its ``columns`` are names, or a method that gives them for the session.
        name: What it is called.
        session: The session, with all that it has built.

    Raises:
        DataError: They are no list of names, or one stands in it twice.
        UserCodeError: The method raised.
    """
    what = f'the columns of the callback "{name}"'
    with blaming(what):
        columns: Any = callback.columns
        found = columns(session) if callable(columns) else columns
    if not isinstance(found, (list, tuple)) or not all(isinstance(x, str) and x for x in found):
        raise DataError(f"{what} must be a list of names; they are {found!r}")
    if len(set(found)) < len(found):
        raise DataError(f"{what} have one name twice: {listing(found)}")
    return list(found)


def _number(value: Any) -> int | float:
    number = value.item() if isinstance(value, Tensor) else value
    return int(number) if isinstance(number, Integral) else float(number)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a value of the type {type(value).__name__}"
