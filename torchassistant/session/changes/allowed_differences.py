"""Which states may be missing from a checkpoint, or left over, as the session has changed since."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.config import GROUPS, Spec, as_data
from torchassistant.messages import logger_for
from torchassistant.session.changes.changes import Change
from torchassistant.session.checkpoints.state_schema import stored_spec
from torchassistant.session.checkpoints.storage import Checkpoint
from torchassistant.session.state.state import MayDiffer
from torchassistant.session.state.stateful_parts import described

_log = logger_for(__name__)


def may_differ_from(
    checkpoint: Checkpoint, spec: Spec, changed: Sequence[Change] = (), accepted: bool = False
) -> MayDiffer:
    """Says of a member, by its id, whether its state may be missing there, or left over.

    It may where the config describes something else in its place than when the state was saved, or
    nothing was there; and where the user accepts that the code has changed.

    Args:
        checkpoint: Has the config as it was.
        spec: The config as it is.
        changed: What has changed; code of a stop condition may, and needs no consent.
        accepted: Whether the user accepts what does not fit.
    """
    then, now = stored_spec(checkpoint.manifest), as_data(spec)
    has_new_code = any(change.effect == "applied" and not change.path for change in changed)

    def may_differ(key: str) -> bool:
        if described(then, key) != described(now, key):
            return True
        if accepted or (has_new_code and key.startswith("stages/")):
            _log.warning(f"the stored state of {key} does not fit, and is ignored")
            return True
        return False

    return may_differ


def made_anew(checkpoint: Checkpoint, spec: Spec) -> MayDiffer:
    """Says of a member, by its id, whether it is to be as the config describes it, not as stored.

    That is a loss or a metric whose arguments are others than when the state was saved, as the
    weights of the classes, which torch keeps among what is stored of a loss.

    Args:
        checkpoint: Has the config as it was.
        spec: The config as it is.
    """
    then, now = stored_spec(checkpoint.manifest), as_data(spec)

    def is_made_anew(key: str) -> bool:
        group = GROUPS.get(key.partition("/")[0])
        if group is None or not group.follows_arguments:
            return False
        return bool(described(then, key, True) != described(now, key, True))

    return is_made_anew
