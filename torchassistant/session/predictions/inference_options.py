"""How predictions are made from Python: as the config of a session says, but for what is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchassistant.config import InferenceSpec, Spec, as_data, check_blocks, read, validate


def inference_spec(spec: Spec, session: Path, options: Mapping[str, Any]) -> InferenceSpec:
    """An inference config.

    Args:
        spec: The config of the session.
        session: Its folder.
        options: Keys of an inference config.

    Raises:
        ConfigError: The options are none.
    """
    block = spec.inference
    kept = {} if block is None else as_data(block)
    tree = {**kept, **options, "session_dir": str(session)}
    diagnostics = read(tree, block=InferenceSpec)
    found = validate(InferenceSpec, diagnostics.tree, diagnostics)
    if found is not None:
        check_blocks(found, diagnostics)
    diagnostics.raise_if_any()
    assert found is not None, "what is past repair has problems"
    return found
