"""What an evaluation or inference config asks of a session, before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from torchassistant.config import lay_over, parse, read
from torchassistant.config.spec import PipelineSpec, Spec
from torchassistant.errors import ConfigError, Place, Problem, near
from torchassistant.session.folder import SessionFolder

_NOWHERE = Place()


def request(source: str | Path) -> Any:
    """The tree of a config, or what a session folder alone asks for."""
    if Path(source).is_dir():
        return {"session_dir": str(source)}
    return read(source)


def laid_over(
    session_dir: str, tree: Any, file: str, used: Callable[[Spec], Collection[str]]
) -> tuple[SessionFolder, Any, Spec]:
    """A session's folder, and its config with the ``initialize`` of another laid over.

    Args:
        session_dir: The session folder.
        tree: The other config.
        file: The name of its file.
        used: Chooses the pipelines that are to be run; the others need not fit any more.
    """
    folder = SessionFolder(session_dir)
    whole = folder.read_spec()
    if "initialize" in tree:
        over = {"initialize": tree["initialize"]}
        whole = lay_over(whole, over, file)
    return folder, whole, parse(whole, file, used)


def chosen_pipeline(spec: Spec, name: str, place: Place = _NOWHERE) -> PipelineSpec:
    """The spec of a pipeline.

    Args:
        spec: The config.
        name: The name of the pipeline.
        place: Where it is named.

    Raises:
        ConfigError: There is none of that name.
    """
    pipelines = spec.initialize.pipelines
    if name not in pipelines:
        raise ConfigError(Problem(f'no pipeline is named "{name}"{near(name, pipelines)}', place))
    return pipelines[name]
