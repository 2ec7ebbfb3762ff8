"""From a checked spec to one of which everything that it names is known to be there."""

from __future__ import annotations

from collections.abc import Collection

from torchassistant.assembly import Allowlist, ReadSession, report_weights, survey
from torchassistant.config import Diagnostics, Key, Spec
from torchassistant.errors import UserCodeError


def surveyed(
    spec: Spec | None,
    diagnostics: Diagnostics,
    allowlist: Allowlist,
    wanted: Collection[Key] | None = None,
    read_session: ReadSession | None = None,
) -> Spec:
    """The spec of a config, after everything that can be found without building it.

    Args:
        spec: What the check of the config gave; None where it is past repair.
        diagnostics: What is wrong with it so far.
        allowlist: Decides what may be imported.
        wanted: The definitions that are needed, where not all are.
        read_session: Of a new session: gives weights of others; None where all weights are stored.

    Raises:
        ConfigError: With every problem, in file order.
        UserCodeError: A module of the user raised while it was imported; it brings the problems.
    """
    if spec is not None:
        if read_session is not None:
            report_weights(spec, diagnostics, read_session)
        try:
            survey(spec, diagnostics, allowlist, wanted, is_new=read_session is not None)
        except UserCodeError as error:
            error.problems = diagnostics.in_order()
            raise
    diagnostics.raise_if_any()
    assert spec is not None, "what is past repair has problems"
    return spec
