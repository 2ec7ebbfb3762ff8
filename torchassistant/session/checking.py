"""From what was read to a spec in which nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torchassistant.build import Trust, survey
from torchassistant.config import Findings, Spec, spec_of
from torchassistant.config.references import Key
from torchassistant.errors import UserCodeError

Used = Callable[[Spec], Collection[str]]
Wanted = Callable[[Spec], Collection[Key]]


def checked(
    findings: Findings,
    trust: Trust,
    used: Used | None = None,
    wanted: Wanted | None = None,
    scored: bool = True,
) -> Spec:
    """The spec of a config, after everything that can be found without building it.

    Args:
        findings: The config as read, and what is wrong with it so far.
        trust: Decides what may be imported.
        used: Where it is not to be trained: chooses the pipelines that are to be run.
        wanted: Likewise: chooses the definitions that are needed for that.
        scored: Whether losses and metrics are computed.

    Raises:
        ConfigError: With every problem, in file order.
        UserCodeError: A module of the user raised while it was imported; it brings the problems.
    """
    spec = spec_of(findings, used, scored)
    if spec is not None:
        try:
            survey(spec, findings, trust, None if wanted is None else wanted(spec))
        except UserCodeError as error:
            error.problems = findings.in_order()
            raise
    findings.raise_if_any()
    assert spec is not None, "what is past mending has problems"
    return spec
