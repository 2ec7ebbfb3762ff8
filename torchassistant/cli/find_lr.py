"""The command ``find-lr``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE, NOT_SAVED, warn
from torchassistant.cli.layout import aligned, as_json
from torchassistant.cli.signals import stopping_after_iteration, stopping_at_once
from torchassistant.cli.streams import expect_output, say
from torchassistant.config import read_training
from torchassistant.errors import ConfigError, Interrupted, NotWritten, shown_path
from torchassistant.session import (
    Draft,
    RangeTest,
    Session,
    find_learning_rate,
    keep_curve,
    load_session,
)

_ROWS = 20
"""So many of the curve's points are printed, at most."""


def find_lr(arguments: Namespace) -> int:
    """Print what the loss does while the learning rate grows, and which rate that suggests."""
    expect_output()
    if arguments.least >= arguments.greatest:
        raise ConfigError(f"--min ({arguments.least:g}) must be less than --max")
    is_session = Path(arguments.source).is_dir()
    with stopping_at_once():
        session = _loaded(arguments) if is_session else _built(arguments)
    try:
        with stopping_after_iteration() as stop:
            found = find_learning_rate(
                session,
                arguments.optimizer,
                arguments.least,
                arguments.greatest,
                arguments.steps,
                stop,
            )
    except Interrupted as error:
        raise Interrupted(error.signum, "nothing was changed") from None
    kept, failed = _kept(session, found) if is_session else (None, None)
    if arguments.json:
        print(as_json({**found.data(), "file": None if kept is None else str(kept)}))
    else:
        for line in _lines(found):
            print(line)
        if kept is not None:
            say(f"the curve is in {shown_path(kept)}", sys.stdout)
    if failed is not None:
        say(f"error: {failed}")
        return NOT_SAVED
    return DONE


def _kept(session: Session, found: RangeTest) -> tuple[Path | None, NotWritten | None]:
    """The file in which the curve is kept, or why there is none: what was found is told anyway."""
    try:
        return keep_curve(session.path, found), None
    except NotWritten as error:
        return None, error


def _loaded(arguments: Namespace) -> Session:
    return load_session(
        arguments.source,
        arguments.device,
        settings=arguments.settings,
        **allowed(arguments),
    )


def _built(arguments: Namespace) -> Session:
    config = read_training(arguments.source, arguments.settings, arguments.trust)
    draft = Draft(config, **allowed(arguments))
    warn(draft.warnings)
    return draft.build(draft.folder().path, arguments.device)


def _lines(found: RangeTest) -> Iterator[str]:
    rows: list[Sequence[str]] = [("learning rate", "loss", "smoothed")]
    count = len(found.curve)
    shown = sorted({round(i * (count - 1) / (_ROWS - 1)) for i in range(_ROWS)})
    rows += [[f"{value:.4g}" for value in found.curve[number]] for number in shown]
    yield from aligned(rows)
    yield ""
    if found.diverged:
        yield f"the loss has diverged at {found.curve[-1].lr:.3g}, after {count} steps"
    if found.best_lr is not None:
        is_open = not found.diverged and found.best_lr == found.curve[-1].lr
        more = ", the last rate; a larger --max shows where it rises" if is_open else ""
        yield f"it was least at {found.best_lr:.3g}{more}"
    if found.suggestion is None:
        yield "no suggestion: the loss does not fall; try other --min and --max, or more --steps"
        return
    rate = f"{found.suggestion:.2g}"
    yield f"suggestion: {rate}, where it falls most steeply"
    if found.optimizer.isidentifier():
        yield f"  --set {found.optimizer}.kwargs.lr={rate} sets it"
