"""What an evaluation config asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torchassistant.assembly import Allowlist, wanted_by, wanted_by_evaluators
from torchassistant.config import EvaluationSpec, Key, PipelineSpec, Spec, StageEvaluatorSpec
from torchassistant.errors import ConfigError, listing
from torchassistant.parallel import Processes
from torchassistant.session.checkpoints.selection import LAST
from torchassistant.session.requests.request import Request, on_device
from torchassistant.session.session import Session
from torchassistant.training import Reporter, StopRequest


def evaluate_config(
    source: str | Path,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
    *,
    processes: Processes | None = None,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    allow_download: bool = False,
    allow_write: Sequence[str] = (),
    checkpoint: str = LAST,
    keep: bool = False,
    device: str | None = None,
    weights_only: bool = False,
    pipeline: str | None = None,
) -> dict[str, Any]:
    """Losses and metrics by display name, and what evaluators measure.

    Args:
        source: An evaluation config, or a session folder: then the validation pipelines of its
            last stage are run.
        reporter: Is called for every batch.
        stop: Ends the evaluation early.
        processes: Those that evaluate together; left out: this one alone.
        settings: What is to be changed in the config or in the session's, as ``PATH=VALUE``.
        trust: Modules that the configs may name, beyond those that any config may.
        allow_download: Whether they may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that they may write into, beyond those that any config may.
        checkpoint: ``last``, ``best`` or a step.
        keep: Whether to keep the predictions in the session; see ``Session.evaluate``.
        device: Another device than the config says.
        weights_only: Whether no losses are built, nor what only they need: metrics are measured,
            and evaluators run.
        pipeline: Which one is evaluated; left out: as the config says.

    Raises:
        ConfigError: The config has problems, alone or laid over the session's; or nothing is left
            to measure.
        SessionError: There is no such session.
        UserCodeError: The user's code raised.
    """
    allowlist = Allowlist(trust, allow_download, allow_write)
    settings = [*settings, *on_device(device)]
    if pipeline is not None:
        settings = [*settings, f"validation_pipelines={json.dumps([pipeline])}"]
    request = Request(source, EvaluationSpec, settings, allowlist, checkpoint, processes)
    config = request.config

    def measuring(spec: Spec) -> list[StageEvaluatorSpec]:
        if config.evaluators is not None:
            return config.evaluators
        return [] if config.validation_pipelines else spec.default_evaluators

    def used(spec: Spec) -> list[str]:
        for index, name in enumerate(config.validation_pipelines or []):
            request.expect_pipeline(spec, name, ("validation_pipelines", index))
        names = config.validation_pipelines or spec.default_validation
        request.expect_steps(config.eval_steps, names)
        request.expect_evaluators(spec, config.evaluators or [])
        return names

    def wanted(spec: Spec, name: str) -> Iterator[Key]:
        for one in spec.with_sources([name]):
            pipeline = spec.initialize.pipelines[one]
            yield from wanted_by(spec, without_losses(pipeline) if weights_only else pipeline)

    def besides(spec: Spec) -> Iterator[Key]:
        return wanted_by_evaluators(spec, measuring(spec))

    def opened() -> tuple[Session, list[str]]:
        spec = request.spec(used, wanted, besides=besides)
        names = used(spec)
        if not names and not measuring(spec):
            raise ConfigError(
                "the last stage has no validation pipeline; an evaluation config can name some"
            )
        if weights_only:
            _leave_losses_out(spec, names, measuring(spec))
        needed = [key for name in names for key in wanted(spec, name)]
        needed += besides(spec)
        return request.open(spec, needed, spec.with_sources(names)), names

    session, names = request.first_usable(opened)
    kept_as = request.checkpoint.name if keep else False
    evaluators = measuring(session.spec)
    return session.evaluate(
        names, config.eval_steps, reporter, stop, evaluators, kept_as, processes
    )


def without_losses(pipeline: PipelineSpec) -> PipelineSpec:
    """A pipeline that measures its metrics only."""
    return pipeline.model_copy(update=_WITHOUT_LOSSES)


_WITHOUT_LOSSES = {"losses": [], "normalize_weights": False, "combine": None, "train_step": None}


def _leave_losses_out(
    spec: Spec, names: Sequence[str], evaluators: Sequence[StageEvaluatorSpec]
) -> None:
    """Let pipelines measure their metrics only.

    Raises:
        ConfigError: There are none, and no evaluators.
    """
    pipelines = spec.initialize.pipelines
    if not evaluators and not any(pipelines[name].metrics for name in names):
        raise ConfigError(f"without losses there is nothing to measure in {listing(names)}")
    for name in spec.with_sources(names):
        pipelines[name] = without_losses(pipelines[name])
