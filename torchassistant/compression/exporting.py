"""Whether a candidate can be exported: by doing it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.errors import ConfigError, UserCodeError, UserError, in_one_line
from torchassistant.export import ONNX, expect_packages, export_session


class Trial(NamedTuple):
    """What came of an export.

    Args:
        exported: Whether it was; None where it was not tried, for want of a package.
        reason: Why it was not.
    """

    exported: bool | None
    reason: str = ""


def tried_export(
    session: Path, pipeline: str, checkpoint: str, aside: Path, allowed: Mapping[str, Any]
) -> Trial:
    """Write a pipeline of a session as ONNX, compare it with torch, and remove it.

    Args:
        session: The session folder.
        pipeline: Its name.
        checkpoint: Which one of the session.
        aside: A folder that nothing else uses.
        allowed: What the config may do, as :func:`export_session` takes it.
    """
    try:
        expect_packages(ONNX)
    except ConfigError:
        return Trial(None)
    shutil.rmtree(aside, ignore_errors=True)  # of a search that was killed
    try:
        export_session(
            session, aside, format="onnx", pipeline=pipeline, checkpoint=checkpoint, **allowed
        )
    except (UserError, UserCodeError) as error:
        return Trial(False, in_one_line(str(error)))
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Trial(True)
