"""What a person sees of a run; the default shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchassistant.training.events import Listener, handlers_of


class Reporter(Listener):
    """A listener that also gets messages for a person. Override what is of interest."""

    def noted(self, sentence: str) -> None:
        """A message for a person."""

    def close(self) -> None:
        """The run is over: clear what is left on the screen."""


class Reporters(Reporter):
    """Passes events on to several listeners; it overrides only what one of them overrides.

    Args:
        listeners: In the order in which they are called.
    """

    def __init__(self, *listeners: Listener) -> None:
        for name in dir(Reporter):
            if not name.startswith("_"):
                methods = handlers_of(listeners, getattr(Reporter, name))
                if methods:
                    setattr(self, name, _each_of(methods))


def _each_of(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def call_all(*args: Any) -> None:
        for method in methods:
            method(*args)

    return call_all
