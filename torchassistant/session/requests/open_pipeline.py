"""A pipeline of a session, with its data and the weights of a checkpoint, for who looks at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchassistant.assembly import Allowlist, wanted_by, wanted_for_inference
from torchassistant.config import InferenceSpec, Key, Spec
from torchassistant.session.checkpoints.selection import LAST
from torchassistant.session.checkpoints.storage import Checkpoint
from torchassistant.session.predictions.prediction import default_pipeline
from torchassistant.session.requests.request import Request
from torchassistant.session.session import Session
from torchassistant.training import Pipeline


@dataclass(frozen=True, slots=True, eq=False)
class OpenPipeline:
    """A pipeline that is open.

    Args:
        session: As much of it as the pipeline needs.
        name: Of the pipeline.
        config: How predictions are made with it.
        checkpoint: The one that the weights are from.
    """

    session: Session
    name: str
    config: InferenceSpec
    checkpoint: Checkpoint

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline itself."""
        return self.session.pipelines[self.name]


def open_pipeline(
    source: str | Path,
    *,
    pipeline: str | None = None,
    scored: bool = False,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    allow_download: bool = False,
    allow_write: Sequence[str] = (),
    checkpoint: str = LAST,
) -> OpenPipeline:
    """Build a pipeline of a session with its data, on the CPU.

    Args:
        source: An inference config, or a session folder.
        pipeline: Its name; left out: as the config says.
        scored: Whether its losses and metrics are built too.
        settings: What is to be changed in the config or in the session's, as ``PATH=VALUE``.
        trust: Modules that the configs may name, beyond those that any config may.
        allow_download: Whether they may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that they may write into, beyond those that any config may.
        checkpoint: ``last``, ``best`` or a step.

    Raises:
        ConfigError: The config has problems, alone or laid over the session's.
        SessionError: There is no such session.
        UserCodeError: The user's code raised.
    """
    allowlist = Allowlist(trust, allow_download, allow_write)
    ours = ['device="cpu"']
    if pipeline is not None:
        ours.append(f"inference_pipeline={json.dumps(pipeline)}")
    request = Request(source, InferenceSpec, [*settings, *ours], allowlist, checkpoint)
    config = request.config

    def used(spec: Spec) -> list[str]:
        if config.inference_pipeline is not None:
            request.expect_pipeline(spec, config.inference_pipeline, ("inference_pipeline",))
        return [default_pipeline(spec, config)]

    def wanted(spec: Spec, name: str) -> Iterator[Key]:
        for one in spec.with_sources([name]):
            yield from wanted_by(spec, spec.initialize.pipelines[one], scored=scored)
        yield from wanted_for_inference(spec, spec.initialize.pipelines[name])

    def opened() -> Session:
        spec = request.spec(used, wanted, scored=scored)
        (name,) = used(spec)
        needed = list(wanted(spec, name))
        return request.open(spec, needed, spec.with_sources([name]), scored=scored)

    session = request.first_usable(opened)
    name = default_pipeline(session.spec, config)
    return OpenPipeline(session, name, config, request.checkpoint)
