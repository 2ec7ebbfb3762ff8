"""What the commands can be given."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any

EPILOG = (
    "exit status: 0 done; 2 something that you can fix; 1 your own code raised; 128 + N ended by "
    "signal N, training once it was saved (130 interrupted, 143 terminated)"
)

SHELLS = ("bash", "zsh", "fish")
"""For which there is a script of completions."""

SUMMARIES = {
    "new": "Make a project that runs at once: a config, code, and what to do next.",
    "init": "Create a session from a config: build everything, fit, split, store.",
    "train": "Train a session, or resume it, until its last stage is done.",
    "evaluate": "Compute losses and metrics with the trained models of a session.",
    "infer": "Make predictions with the trained models of a session.",
    "export": "Write the graph of a session as ONNX, .pt2 or safetensors, verified.",
    "compress": "Make the models of a session smaller, as far as a metric allows it.",
    "sweep": "Train a config many times, with values that Optuna chooses, and compare.",
    "find-lr": "Find a learning rate: what the loss does while it grows. No weights are kept.",
    "log": "Send what TensorBoard, MLflow or Trackio lacks of the history of a session.",
    "runs": "List the sessions in a folder: how far each is, its best results, whether it runs.",
    "graph": "Draw the training graph of a config or session as SVG or PNG, or write Mermaid.",
    "diff": "Compare two sessions: config, environment, code, results.",
    "report": "Write a report of sessions: one HTML file with curves, samples, differences.",
    "convert": "Turn weights of torch.save into safetensors, running no code; a config into YAML.",
    "check": "Find every mistake in a config. Nothing is created.",
    "verify-resume": "Test whether an interrupted run resumes to exactly the same result.",
    "completion": "Print a script by which a shell completes commands, options and paths.",
    "schema": "Print the JSON Schema of a config, by which editors complete and check one.",
}


def parser_of(command: str, prog: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    parser = argparse.ArgumentParser(prog=prog, description=SUMMARIES[command], epilog=EPILOG)
    _fill(parser, command)
    return parser


def whole_parser(
    prog: str, kind: type[argparse.ArgumentParser] = argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """The parser of all commands; it and theirs are of one kind."""
    parser = kind(
        prog=prog,
        description="A training run described as data: one config in JSON or YAML, a few commands.",
        epilog=EPILOG,
    )
    _add_version(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in SUMMARIES.items():
        _fill(commands.add_parser(name, help=summary, description=summary, epilog=EPILOG), name)
    return parser


def _add_version(parser: argparse.ArgumentParser) -> None:
    package = sys.modules[__name__.partition(".")[0]]
    version = f"torchassistant {package.__version__}"
    parser.add_argument(
        "--version", action="version", version=version, help="print the version and exit"
    )


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="where the command fails, also print Python's whole traceback",
    )


def _fill(parser: argparse.ArgumentParser, command: str) -> None:
    _add_version(parser)
    _add_verbose(parser)
    if command == "schema":
        parser.add_argument(
            "--path", action="store_true", help="print the path of the file instead, for editors"
        )
        return
    if command in _WITHOUT_CONFIG:
        _WITHOUT_CONFIG[command](parser)
        return
    if command == "compress":
        _fill_compress(parser)
    elif command == "sweep":
        _fill_sweep(parser)
    elif command == "find-lr":
        _fill_find_lr(parser)
    elif command in ("init", "check", "verify-resume"):
        parser.add_argument("config", metavar="CONFIG", help="training config (JSON or YAML)")
    elif command == "train":
        parser.add_argument("session", metavar="SESSION_DIR", help="folder that init created")
    else:
        parser.add_argument(
            "source",
            metavar="CONFIG_OR_SESSION_DIR",
            help=f"{'evaluation' if command == 'evaluate' else 'inference'} config, "
            "or a session folder",
        )
    if command == "init":
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
    if command == "train":
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
    if command in ("train", "find-lr", "evaluate", "infer"):
        parser.add_argument(
            "--device",
            metavar="auto|cpu|cuda:N|mps",
            type=_device,
            help="use this device, whatever the config says; the session is not changed",
        )
    if command in ("evaluate", "infer"):
        parser.add_argument(
            "--weights-only",
            action="store_true",
            help="build neither losses nor optimizers, nor what only they need"
            + ("; metrics are measured" if command == "evaluate" else ", as always"),
        )
    if command in ("evaluate", "export", "infer", "compress"):
        parser.add_argument(
            "--checkpoint",
            metavar="best|best-MONITOR|last|STEP",
            default="last",
            help="which checkpoint of the session is used (default: last)",
        )
    if command in ("train", "evaluate", "infer"):
        parser.add_argument(
            "--processes",
            metavar="N",
            type=_at_least_one,
            help="start N processes on this machine that do it together, as torchrun does",
        )
    if command == "verify-resume":
        parser.add_argument(
            "--iterations",
            metavar="N",
            type=_at_least_two,
            default=10,
            help="how many are run, with an interruption in the middle (default: 10)",
        )
        parser.add_argument(
            "--processes",
            metavar="N",
            type=_at_least_one,
            default=1,
            help="train by N processes together, as train --processes N (default: 1)",
        )
    if command == "check":
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
    if command in _WITH_JSON:
        _add_json(parser)
    if command == "evaluate":
        parser.add_argument(
            "--pipeline",
            metavar="NAME",
            help="the pipeline that is evaluated (default: those that validate in the last stage)",
        )
        parser.add_argument(
            "--keep",
            action="store_true",
            help="keep the predictions in SESSION_DIR/evaluations, one row for each example",
        )
    if command == "export":
        _fill_export(parser)
    if command == "infer":
        parser.add_argument(
            "inputs",
            metavar="INPUT",
            nargs="*",
            help="what to predict for; one prediction for each, and a folder stands for the files "
            "in it; left out: the data of --pipeline",
        )
        parser.add_argument(
            "--pipeline",
            metavar="NAME",
            help="the pipeline that is run; without inputs, on every example of its data",
        )
        parser.add_argument(
            "-o",
            "--output",
            metavar="FILE",
            help="write a new file of predictions (.csv, .jsonl), one row for each",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace the file of --output if it is there"
        )
        parser.add_argument(
            "--column",
            dest="columns",
            metavar="NAME",
            action="append",
            default=[],
            help="keep this column too, as an input or a target; can be repeated",
        )
    _add_overrides(parser)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="override a value of the config, as --set optimizer.kwargs.lr=0.001, or a definition "
        "by what a file says, as --set net=@nets/small.yaml; can be repeated",
    )
    parser.add_argument(
        "--trust",
        metavar="NAME",
        action="append",
        default=[],
        help="allow the config to name this module, class or function, or to include files of "
        "this folder (./parts, ../shared); can be repeated",
    )
    parser.add_argument(
        "--allow-download",
        action="store_true",
        help="allow the config to download, follow URLs and unpack what no checksum pins",
    )
    parser.add_argument(
        "--allow-write",
        metavar="FOLDER",
        action="append",
        default=[],
        help="allow the config to write into this folder too; can be repeated",
    )


def _add_trials(parser: argparse.ArgumentParser) -> None:
    trials = parser.add_mutually_exclusive_group()
    trials.add_argument(
        "--overfit",
        metavar="N",
        type=_at_least_one,
        help="train on the same N batches again and again, whose loss should go to its least; "
        "nothing is stored",
    )
    trials.add_argument(
        "--limit-batches",
        metavar="N",
        type=_at_least_one,
        help="a quick try: at most N batches an epoch, and of each validation; nothing is stored",
    )
    parser.add_argument(
        "--passes",
        metavar="M",
        type=_at_least_one,
        help="how often --overfit trains on its batches (default: 100)",
    )


def _fill_find_lr(parser: argparse.ArgumentParser) -> None:
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
        type=_rate,
        default=1e-7,
        help="the first rate (default: 1e-7)",
    )
    parser.add_argument(
        "--max",
        dest="greatest",
        metavar="RATE",
        type=_rate,
        default=10.0,
        help="the last rate (default: 10)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=_at_least_ten,
        default=100,
        help="how many iterations lie between them (default: 100)",
    )
    _add_json(parser)


def _fill_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=("onnx", "pt2", "safetensors"), required=True, help="of the file"
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", required=True, help="the new folder that holds it"
    )
    parser.add_argument("--pipeline", metavar="NAME", help="the pipeline whose graph is written")
    parser.add_argument(
        "--batch",
        metavar="dynamic|N",
        type=_batch,
        help="batches of any size, or of N examples only (default: dynamic)",
    )
    parser.add_argument(
        "--dynamic",
        metavar="INPUT:AXIS",
        action="append",
        default=[],
        help="a further axis of any size, as words:1; can be repeated",
    )
    parser.add_argument(
        "--dtype",
        choices=("float16", "bfloat16"),
        help="of the weights and of what is computed; inputs and outputs stay float32",
    )
    parser.add_argument(
        "--metric",
        action="store_true",
        help="compute the pipeline's losses and metrics with the file, beside torch's",
    )


def _fill_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION_DIR", help="folder that init created")
    parser.add_argument(
        "--to",
        choices=("tensorboard", "mlflow", "trackio"),
        required=True,
        help="the program that shows it",
    )
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        help="where its files are, or are to be (default: a folder of the session, of its name)",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="what the run is called (default: as the session's folder)"
    )
    parser.add_argument("--experiment", metavar="NAME", help="of MLflow (default: torchassistant)")
    parser.add_argument("--project", metavar="NAME", help="of Trackio (default: torchassistant)")
    _add_json(parser)


def _fill_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="FILE", help="weights that torch.save wrote (.pth, …), or a config"
    )
    parser.add_argument(
        "target",
        metavar="NEW_FILE",
        help="where they go; ends in .safetensors, of a config in .yaml or .json",
    )
    parser.add_argument(
        "--key",
        metavar="NAME",
        help="which dictionary in the file is meant, as model, or model.ema for one in another "
        "(default: the only one, or state_dict)",
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="leave out tensors whose names match, as 'fc.*'; can be repeated",
    )
    parser.add_argument(
        "--optimizer",
        metavar="NAME",
        nargs="?",
        const=True,
        default=False,
        help="take the state of an optimizer, for its key state, in place of weights; NAME says "
        "which, as optimizer_states.0 (default: the only one)",
    )
    parser.add_argument(
        "--skip-objects",
        action="store_true",
        help="leave out objects that are no weights and that only code could make",
    )
    parser.add_argument("--replace", action="store_true", help="replace NEW_FILE if it is there")
    _add_json(parser)


def _fill_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default=".",
        help="sessions in it, and in folders in it, are listed (default: the working directory)",
    )
    _add_json(parser)


def _fill_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("one", metavar="SESSION_DIR", help="a session")
    parser.add_argument("other", metavar="OTHER_SESSION_DIR", help="and another one")
    _add_json(parser)


def _fill_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", nargs="?", help="which; left out: they are listed")
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="a new folder, or an empty one, for its files"
    )
    parser.add_argument("--yaml", action="store_true", help="write the config in YAML")
    _add_json(parser)


def _fill_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="which shell it is for")


def _fill_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sessions",
        metavar="SESSION_DIR",
        nargs="+",
        help="sessions, of which several are laid over one another; another folder stands for the "
        "sessions in it",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the report; an earlier one is replaced (default: report.html in the session, of "
        "several sessions in the working directory)",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="write it again every 10 seconds until training has ended, or Ctrl-C",
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        action="append",
        default=[],
        help="show a file that infer -o has written, too; can be repeated",
    )
    parser.add_argument(
        "--png",
        metavar="FOLDER",
        help="also draw curves, matrices, ROC and the graph into PNG files in this folder",
    )
    _add_json(parser)


def _fill_graph(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="CONFIG_OR_SESSION_DIR", help="training config, or a session folder"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write this file (.svg, .png, .mmd), in the place of an earlier one; left out: "
        "print it",
    )
    parser.add_argument(
        "--format",
        choices=("svg", "mermaid", "png"),
        help="of the graph (default: as FILE ends, or svg)",
    )
    parser.add_argument(
        "--stage",
        metavar="NAME|N",
        help="draw what runs in this stage, by its name or its number from 1 (default: all)",
    )
    parser.add_argument(
        "--shapes",
        action="store_true",
        help="build everything and run one batch of every pipeline, to learn the shapes of "
        "columns; of a session they are known",
    )
    parser.add_argument(
        "--unfold", action="store_true", help="draw equal parts each time, not once for all"
    )
    _add_json(parser)
    _add_overrides(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


_WITH_JSON = (
    *("init", "check", "train", "evaluate", "infer", "export", "compress", "sweep"),
    "verify-resume",
)
"""Commands that read a config, and whose results a program can read."""

_WITHOUT_CONFIG: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "new": _fill_new,
    "log": _fill_log,
    "convert": _fill_convert,
    "runs": _fill_runs,
    "diff": _fill_diff,
    "completion": _fill_completion,
    "report": _fill_report,
    "graph": _fill_graph,
}
"""What fills the parsers of commands that build nothing from a config."""


def _fill_compress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION_DIR", help="folder that init created")
    parser.add_argument(
        "--monitor", metavar="NAME", required=True, help="what must not get worse, as val accuracy"
    )
    parser.add_argument(
        "--delta",
        type=float,
        required=True,
        help="by how much it may get worse, in its own units",
    )
    parser.add_argument(
        "--mode", choices=("min", "max"), help="what is better of it (default: as its metric says)"
    )
    parser.add_argument(
        "--objective",
        choices=("size", "latency"),
        default="size",
        help="what is made small (default: size)",
    )
    parser.add_argument(
        "--methods",
        metavar="METHOD,…",
        help="what is tried (default: all): int8, int8-dynamic, int8-static, low-rank, prune, "
        "distill",
    )
    parser.add_argument(
        "--finetune",
        metavar="EPOCHS",
        type=_at_least_zero,
        default=2,
        help="how long what was cut down is trained; 0 trains nothing (default: 2)",
    )
    parser.add_argument(
        "--trials", metavar="N", type=_at_least_zero, help="try at most so many candidates"
    )
    parser.add_argument(
        "--time", metavar="SECONDS", type=float, help="begin no candidate after so many seconds"
    )
    parser.add_argument(
        "--confirm",
        metavar="PIPELINE",
        help="evaluate this pipeline, of other data, once for the best",
    )
    parser.add_argument(
        "--no-export",
        dest="export",
        action="store_false",
        help="do not try whether the best one can be exported to ONNX",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        help="of the search, which goes on where it was (default: SESSION_DIR-compressed)",
    )


def _fill_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="what is varied, and how (JSON or YAML)")
    parser.add_argument(
        "--trials",
        metavar="N",
        type=_at_least_zero,
        help="how many there are, over all calls (default: all of a grid)",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_at_least_one,
        default=1,
        help="train so many at once, each in a process (default: 1)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="a database for the study, as Optuna takes it (default: a file in the sweep's folder)",
    )


def allowed(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the person allows a config beyond the rest, as the session's functions take it."""
    return {
        "trust": arguments.trust,
        "allow_download": arguments.allow_download,
        "allow_write": arguments.allow_write,
    }


def _device(text: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,4})?", text) is None:
        raise argparse.ArgumentTypeError(f"must be auto, cpu, mps, cuda or cuda:N; found {text!r}")
    return text


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 1, or dynamic; found {text!r}"
        )
    return int(text)


def _at_least_zero(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number; found {text!r}")
    return int(text)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; found {text!r}")
    return int(text)


def _at_least_ten(text: str) -> int:
    if not text.isdecimal() or int(text) < 10:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 10; found {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0; found {text!r}")
    return rate


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 2; found {text!r}")
    return int(text)
