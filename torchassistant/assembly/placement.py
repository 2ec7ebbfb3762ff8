"""Whether an object of a config may stand in the arguments of the object that it stands in."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.object_kinds import is_of_libraries, kind_of, may_hold
from torchassistant.assembly.reviewed_callables import verdict_of
from torchassistant.assembly.signatures import name_for
from torchassistant.config import Described, Path
from torchassistant.errors import with_article


class Places:
    """Remembers what is called where, outer objects before those in their arguments.

    Args:
        allowlist: Says whether downloads are allowed.
    """

    def __init__(self, allowlist: Allowlist) -> None:
        self.allowlist = allowlist
        self.called: dict[Path, Any] = {}

    def misfit(self, described: Described, target: Any, is_called: bool) -> str | None:
        """Why something may not stand where it does; None where it may.

        Args:
            described: What the config says.
            target: What it names.
            is_called: Whether it makes the object, and is not the object itself.
        """
        holder = self._holder_of(described)
        if is_called:
            self.called[described.path] = target
        kind = kind_of(target)
        if holder is not None and not may_hold(holder, kind, described.role):
            what = with_article(str(kind))
            return f"is {what}, and is not allowed in the arguments of {name_for(holder)}"
        return None if is_called else self._unseen(target, holder)

    def _holder_of(self, described: Described) -> Any | None:
        """What is called with something among its arguments; None: nothing that is known."""
        if not described.nested:
            return None
        path = described.path
        for end in range(len(path) - 1, 0, -1):
            if path[:end] in self.called:
                return self.called[path[:end]]
        return DataLoader if described.role == "loader_factories" else None

    def _unseen(self, target: Any, holder: Any | None) -> str | None:
        """Why something may not be called later, with arguments that nobody sees before."""
        kinds = ["open"]
        if holder is not None and is_of_libraries(holder):
            # It may hand on what else the config gives it.
            kinds.append("pinned")
        elif not verdict_of(target).is_asked_by(target, (), {}):
            return None
        if self.allowlist.allow_download or verdict_of(target).kind not in kinds:
            return None
        return (
            "may download or unpack, and cannot be passed on to be called later, as nothing checks "
            "its arguments then; --allow-download on the command line allows it"
        )
