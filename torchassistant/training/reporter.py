"""What training tells a person while it runs; the default tells nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchassistant.training.events import Listener, heard_by


class Reporter(Listener):
    """Hears what happens, and what is to be said. Override what is of interest."""

    def noted(self, sentence: str) -> None:
        """Something that a person should be told."""

    def close(self) -> None:
        """Nothing more will be told: clear what is left on the screen."""


class Reporters(Reporter):
    """Tells several listeners what it hears; what none of them hears, it does not hear either.

    Args:
        listeners: In the order in which they are told.
    """

    def __init__(self, *listeners: Listener) -> None:
        for name in dir(Reporter):
            if not name.startswith("_"):
                methods = heard_by(listeners, getattr(Reporter, name))
                if methods:
                    setattr(self, name, _each_of(methods))


def _each_of(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*args: Any) -> None:
        for method in methods:
            method(*args)

    return tell
