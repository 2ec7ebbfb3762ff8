"""What an evaluation config asks for."""

from __future__ import annotations

from pathlib import Path

from torchassistant.build import build_pipeline
from torchassistant.build.pipelines import wanted_by
from torchassistant.config import EvaluationSpec, validate
from torchassistant.config.tree import place_of
from torchassistant.errors import ConfigError
from torchassistant.session.checkpoints import restore
from torchassistant.session.opening import open_session
from torchassistant.session.request import chosen_pipeline, laid_over, request
from torchassistant.training import Reporter, StopRequest


def evaluate_config(
    source: str | Path, reporter: Reporter | None = None, stop: StopRequest | None = None
) -> dict[str, float]:
    """Losses and metrics by display name.

    Args:
        source: An evaluation config, or a session folder: then the validation pipelines of its
            last stage are run.
        reporter: Hears of every batch.
        stop: Ends the evaluation early.

    Raises:
        ConfigError: The config has problems, alone or laid over the session's.
        SessionError: There is no such session.
    """
    tree = request(source)
    file = str(source)
    wish = validate(EvaluationSpec, tree, file)
    folder, whole, spec = laid_over(
        wish.session_dir, tree, file, lambda s: wish.validation_pipelines or s.default_validation
    )
    names = wish.validation_pipelines or spec.default_validation
    if not names:
        raise ConfigError(
            "the last stage has no validation pipeline; an evaluation config can name some"
        )
    chosen = {
        name: chosen_pipeline(spec, name, place_of(tree, ("validation_pipelines", index), file))
        for index, name in enumerate(names)
    }
    checkpoint = folder.checkpoints.newest_sound()
    session = open_session(
        folder.path,
        spec,
        whole,
        folder.statics(),
        wish.device,
        lambda builder: [key for p in chosen.values() for key in wanted_by(builder, p)],
    )
    for name, pipeline in chosen.items():
        session.pipelines[name] = build_pipeline(session.builder, name, pipeline)
    restore(checkpoint, session, weights_only=True)
    return session.evaluate(list(chosen), wish.eval_steps, reporter, stop)
