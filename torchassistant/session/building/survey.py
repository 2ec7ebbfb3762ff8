"""From a checked spec to one of which everything that it names is known to be there."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from torchassistant.assembly import Allowlist, report_weights, survey
from torchassistant.config import Diagnostics, Key, Spec
from torchassistant.errors import UserCodeError
from torchassistant.session.building.first_optimizer_states import report_optimizer_states
from torchassistant.session.building.session_weights import weights_of_session


def surveyed(
    spec: Spec | None,
    diagnostics: Diagnostics,
    allowlist: Allowlist,
    wanted: Collection[Key] | None = None,
    is_new: bool = False,
    own: Path | None = None,
) -> Spec:
    """The spec of a config, after everything that can be found without building it.

    Args:
        spec: What the check of the config gave; None where it is past repair.
        diagnostics: What is wrong with it so far.
        allowlist: Decides what may be imported.
        wanted: The definitions that are needed, where not all are.
        is_new: Whether the session is new, so that what it begins with is read.
        own: The folder that it is for; None where it is not known.

    Raises:
        ConfigError: With every problem, in file order.
        UserCodeError: A module of the user raised while it was imported; it brings the problems.
    """
    if spec is not None:
        if is_new:
            reads = partial(weights_of_session, own=own, tells=False)
            report_weights(spec, diagnostics, reads, allowlist.allow_download)
            report_optimizer_states(spec, diagnostics, own)
        try:
            survey(spec, diagnostics, allowlist, wanted, is_new=is_new)
        except UserCodeError as error:
            error.problems = diagnostics.in_order()
            raise
    diagnostics.raise_if_any()
    assert spec is not None, "what is past repair has problems"
    return spec
