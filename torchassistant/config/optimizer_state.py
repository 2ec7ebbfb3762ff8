"""State that an optimizer begins with, as a config names it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from torchassistant.config.blocks import Block, Name
from torchassistant.config.model_weights import SESSION
from torchassistant.config.role import CALLABLE, Role

STATE_OF_OPTIMIZER = Role(
    "state",
    "function that gives the state of an optimizer",
    code=("free", "what it gave is stored"),
)
CHANGE_OF_STATE = Role(
    "change_fn",
    "function that changes a state (it cannot be called)",
    methods=CALLABLE,
    or_itself=True,
    code=("free", "what it gave is stored"),
)


class OptimizerStateSpec(Block):
    """Where the state of the parameters comes from: momenta, averages of gradients, steps."""

    class_: ClassVar[None] = None

    from_: Name | None = Field(
        None,
        alias="from",
        description="`session:PATH`, or a file that `convert --optimizer` has written.",
    )
    optimizer: Name | None = Field(
        None,
        description="With `session:`: which optimizer of that session. Left out: the one of the "
        "same name, or the only one.",
    )
    checkpoint: Name | None = Field(
        None,
        description="With `session:`: `last`, `best`, `best-MONITOR` or a step. Left out: `last`.",
    )
    factory_fn: Name | None = Field(
        None,
        description="Dotted path of a function that gives a `state_dict`; its first argument is "
        "the session.",
    )
    args: list[Any] = Field([], description="Its positional arguments after that.")
    kwargs: dict[str, Any] = Field({}, description="Its keyword arguments.")
    change_fn: Annotated[Name | None, CHANGE_OF_STATE] = Field(
        None, description="Dotted path of a function from that `state_dict` to the one that counts."
    )

    @property
    def session(self) -> str | None:
        """The path of the session that it is from; None for other sources."""
        is_session = self.from_ is not None and self.from_.startswith(SESSION)
        return self.from_.removeprefix(SESSION) if is_session and self.from_ else None
