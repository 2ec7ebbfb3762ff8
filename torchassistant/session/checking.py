"""From what was read to a spec in which nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torchassistant.assembly import Allowlist, survey
from torchassistant.config import Diagnostics, Spec, spec_of
from torchassistant.config.references import Key
from torchassistant.errors import UserCodeError

Used = Callable[[Spec], Collection[str]]
Wanted = Callable[[Spec], Collection[Key]]


def checked(
    diagnostics: Diagnostics,
    allowlist: Allowlist,
    used: Used | None = None,
    wanted: Wanted | None = None,
    scored: bool = True,
) -> Spec:
    """The spec of a config, after everything that can be found without building it.

    Args:
        diagnostics: The config as read, and what is wrong with it so far.
        allowlist: Decides what may be imported.
        used: Where it is not to be trained: chooses the pipelines that are to be run.
        wanted: Likewise: chooses the definitions that are needed for that.
        scored: Whether losses and metrics are computed.

    Raises:
        ConfigError: With every problem, in file order.
        UserCodeError: A module of the user raised while it was imported; it brings the problems.
    """
    spec = spec_of(diagnostics, used, scored)
    if spec is not None:
        try:
            survey(spec, diagnostics, allowlist, None if wanted is None else wanted(spec))
        except UserCodeError as error:
            error.problems = diagnostics.in_order()
            raise
    diagnostics.raise_if_any()
    assert spec is not None, "what is past repair has problems"
    return spec
