"""Arguments of the commands that use what a session has trained."""

from __future__ import annotations

from argparse import ArgumentParser

from torchassistant.cli.arguments.common import (
    add_checkpoint,
    add_device,
    add_json,
    add_overrides,
    add_processes,
    add_session,
)
from torchassistant.cli.arguments.values import at_least, batch


def fill_evaluate(parser: ArgumentParser) -> None:
    """``evaluate``."""
    _add_source(parser, "evaluation")
    add_device(parser)
    _add_weights_only(parser, "; metrics are measured")
    add_checkpoint(parser)
    add_processes(parser)
    add_json(parser)
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
    add_overrides(parser)


def fill_infer(parser: ArgumentParser) -> None:
    """``infer``."""
    _add_source(parser, "inference")
    add_device(parser)
    _add_weights_only(parser, ", as always")
    add_checkpoint(parser)
    add_processes(parser)
    add_json(parser)
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
    add_overrides(parser)


def fill_export(parser: ArgumentParser) -> None:
    """``export``."""
    _add_source(parser, "inference")
    add_checkpoint(parser)
    add_json(parser)
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
        type=batch,
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
    add_overrides(parser)


def fill_compress(parser: ArgumentParser) -> None:
    """``compress``."""
    add_session(parser)
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
        type=at_least(0),
        default=2,
        help="how long what was cut down is trained; 0 trains nothing (default: 2)",
    )
    parser.add_argument(
        "--trials", metavar="N", type=at_least(0), help="try at most so many candidates"
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
    add_checkpoint(parser)
    add_json(parser)
    add_overrides(parser)


def _add_source(parser: ArgumentParser, kind: str) -> None:
    parser.add_argument(
        "source",
        metavar="CONFIG_OR_SESSION_DIR",
        help=f"{kind} config, or a session folder",
    )


def _add_weights_only(parser: ArgumentParser, metrics: str) -> None:
    parser.add_argument(
        "--weights-only",
        action="store_true",
        help=f"build neither losses nor optimizers, nor what only they need{metrics}",
    )
