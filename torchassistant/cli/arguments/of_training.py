"""Arguments of the commands that create sessions and train them."""

from __future__ import annotations

from argparse import ArgumentParser

from torchassistant.cli.arguments.common import (
    add_config,
    add_device,
    add_json,
    add_overrides,
    add_processes,
    add_session,
)
from torchassistant.cli.arguments.values import at_least, rate


def fill_init(parser: ArgumentParser) -> None:
    """``init``."""
    add_config(parser)
    parser.add_argument(
        "--no-preflight",
        dest="preflight",
        action="store_false",
        help="do not run one batch of every pipeline first",
    )
    parser.add_argument(
        "--replace",
        metavar="NAME",
        nargs="?",
        const="",
        help="replace the existing session of this name: it is removed as soon as the new one "
        "is complete; without NAME, the command asks for it",
    )
    add_json(parser)
    add_overrides(parser)


def fill_check(parser: ArgumentParser) -> None:
    """``check``."""
    add_config(parser)
    parser.add_argument(
        "--preflight",
        action="store_true",
        help="also build everything and run one batch of every pipeline, as init does",
    )
    parser.add_argument("--complete", action="store_true", help="print the completed config")
    parser.add_argument(
        "--explain",
        metavar="PATH",
        help="only tell which file and line set this value, as optimizer.kwargs.lr, and what "
        "that hid; of an object, each value in it",
    )
    add_json(parser)
    add_overrides(parser)


def fill_train(parser: ArgumentParser) -> None:
    """``train``."""
    add_session(parser)
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume although data, models or their code have changed",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="write a trace of some iterations to SESSION_DIR/profile, for ui.perfetto.dev",
    )
    parser.add_argument(
        "--timing",
        action="store_true",
        help="tell after each epoch where its time went, and not only after each stage",
    )
    _add_trials(parser)
    add_device(parser)
    add_processes(parser)
    add_json(parser)
    add_overrides(parser)


def _add_trials(parser: ArgumentParser) -> None:
    """Quick tries, of which nothing is stored."""
    trials = parser.add_mutually_exclusive_group()
    trials.add_argument(
        "--overfit",
        metavar="N",
        type=at_least(1),
        help="train on the same N batches again and again, whose loss should go to its least; "
        "nothing is stored",
    )
    trials.add_argument(
        "--limit-batches",
        metavar="N",
        type=at_least(1),
        help="a quick try: at most N batches an epoch, and of each validation; nothing is stored",
    )
    parser.add_argument(
        "--passes",
        metavar="M",
        type=at_least(1),
        help="how often --overfit trains on its batches (default: 100)",
    )


def fill_find_lr(parser: ArgumentParser) -> None:
    """``find-lr``."""
    parser.add_argument(
        "source",
        metavar="SESSION_OR_CONFIG",
        help="a session folder, which keeps the curve, or a training config",
    )
    parser.add_argument(
        "--optimizer", metavar="NAME", help="whose rate is meant; needed where there are several"
    )
    parser.add_argument(
        "--min",
        dest="least",
        metavar="RATE",
        type=rate,
        default=1e-7,
        help="the first rate (default: 1e-7)",
    )
    parser.add_argument(
        "--max",
        dest="greatest",
        metavar="RATE",
        type=rate,
        default=10.0,
        help="the last rate (default: 10)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=at_least(10),
        default=100,
        help="how many iterations lie between them (default: 100)",
    )
    add_json(parser)
    add_device(parser)
    add_overrides(parser)


def fill_sweep(parser: ArgumentParser) -> None:
    """``sweep``."""
    parser.add_argument("sweep", metavar="SWEEP", help="what is varied, and how (JSON or YAML)")
    parser.add_argument(
        "--trials",
        metavar="N",
        type=at_least(0),
        help="how many there are, over all calls (default: all of a grid)",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=at_least(1),
        default=1,
        help="train so many at once, each in a process (default: 1)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="a database for the study, as Optuna takes it (default: a file in the sweep's folder)",
    )
    add_json(parser)
    add_overrides(parser)


def fill_verify_resume(parser: ArgumentParser) -> None:
    """``verify-resume``."""
    add_config(parser)
    parser.add_argument(
        "--iterations",
        metavar="N",
        type=at_least(2),
        default=10,
        help="how many are run, with an interruption in the middle (default: 10)",
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=at_least(1),
        default=1,
        help="train by N processes together, as train --processes N (default: 1)",
    )
    add_json(parser)
    add_overrides(parser)
