"""What an evaluation or inference config asks of a session, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchassistant.config import lay_over, parse, read
from torchassistant.config.spec import PipelineSpec, Spec
from torchassistant.errors import ConfigError, near
from torchassistant.session.folder import SessionFolder


def request(source: str | Path) -> Any:
    """The tree of a config, or what a session folder alone asks for."""
    if Path(source).is_dir():
        return {"session_dir": str(source)}
    return read(source)


def laid_over(session_dir: str, tree: Any, file: str) -> tuple[SessionFolder, Any, Spec]:
    """A session's folder, and its config with the ``initialize`` of another laid over."""
    folder = SessionFolder(session_dir)
    whole = folder.read_spec()
    if "initialize" in tree:
        over = {"initialize": tree["initialize"]}
        whole = lay_over(whole, over, file)
    return folder, whole, parse(whole, file, stages=False)


def chosen_pipeline(spec: Spec, name: str) -> PipelineSpec:
    """The spec of a pipeline.

    Raises:
        ConfigError: There is none of that name.
    """
    pipelines = spec.initialize.pipelines
    if name not in pipelines:
        raise ConfigError(f'no pipeline is named "{name}"{near(name, pipelines)}')
    return pipelines[name]
