"""The command ``graph``: the training graph of a config, or of a session, as a picture."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import as_json
from torchassistant.cli.scratch_folders import leaving_no_trace
from torchassistant.cli.streams import expect_output
from torchassistant.config import ReadConfig, Spec, has_missing_parts, read_training
from torchassistant.diagram import Diagram, diagram_of, mermaid_of, png_of, svg_of
from torchassistant.errors import ConfigError, UserError, in_one_line, listing, shown_path
from torchassistant.overview import stored_graph
from torchassistant.whole_files import replacing

_WRITERS: dict[str, Callable[[Diagram], str | bytes]] = {
    "svg": svg_of,
    "mermaid": mermaid_of,
    "png": lambda diagram: png_of(svg_of(diagram)),
}
_FORMATS = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".png": "png"}
"""By what the names of files end in."""


class _Source(NamedTuple):
    """What is drawn: a completed config, what it is called, and shapes where they are known."""

    spec: Spec
    name: str
    shapes: Mapping[str, Any] | None


def graph(arguments: Namespace) -> int:
    """Draw the graph."""
    target = None if arguments.output is None else Path(arguments.output)
    form = _format(arguments.format, target)
    if form == "png" and target is None and not arguments.json:
        raise UserError("a picture of pixels is a file: -o graph.png")
    write = _WRITERS[form]
    if target is None or arguments.json:
        expect_output()
    source = _source(arguments)
    stage = None if arguments.stage is None else _stage(source.spec, arguments.stage)
    diagram = diagram_of(source.spec, source.name, stage, source.shapes, arguments.unfold)
    if target is not None:
        _write(target, write(diagram))
    elif not arguments.json:
        print(write(diagram), end="")
    if arguments.json:
        print(as_json(_as_data(diagram)))
    return DONE


def _format(asked: str | None, target: Path | None) -> str:
    """What is written: what is asked for, or what the name of the file says."""
    if asked is not None or target is None:
        return asked or "svg"
    found = _FORMATS.get(target.suffix.lower())
    if found is None:
        raise UserError(
            f"{shown_path(target)}: the name of a graph ends in {', '.join(_FORMATS)}; with "
            "--format it may have any name"
        )
    return found


def _source(arguments: Namespace) -> _Source:
    path = Path(arguments.source)
    if path.is_dir():
        if arguments.settings:
            raise UserError("--set changes a config, and this is a session folder")
        spec, shapes = stored_graph(path)
        if arguments.shapes and shapes is None:
            raise UserError(
                f"{shown_path(path)} keeps no shapes, because it was created without a preflight; "
                "--shapes with its config learns them"
            )
        return _Source(spec, path.resolve().name, shapes)
    config = read_training(path, arguments.settings, arguments.trust)
    if config.spec is None or not (arguments.shapes or has_missing_parts(config.spec)):
        config.diagnostics.raise_if_any()
        assert config.spec is not None, "what is past repair has problems"
        return _Source(config.spec, _name(config.spec, path), None)
    return _built(arguments, config)


def _built(arguments: Namespace, config: ReadConfig) -> _Source:
    """The same by the engine, which looks at data and code to fill in what a config leaves out."""
    with leaving_no_trace(arguments.shapes):
        from torchassistant.session import Draft

        draft = Draft(config, **allowed(arguments), dry=True)
        if has_missing_parts(draft.spec):
            raise ConfigError(*draft.missing)
        shapes = draft.preflight().shapes if arguments.shapes else None
    return _Source(draft.spec, _name(draft.spec, Path(arguments.source)), shapes)


def _name(spec: Spec, path: Path) -> str:
    """What a config is called: as its session, or as its file."""
    return Path(spec.session_dir).name if spec.session_dir else path.stem


def _stage(spec: Spec, asked: str) -> int:
    """The index of a stage, by its name or its number from 1."""
    names = [stage.name for stage in spec.train.stages]
    if asked in names:
        return names.index(asked)
    if asked.isdecimal() and 1 <= int(asked) <= len(names):
        return int(asked) - 1
    known = [name or str(number) for number, name in enumerate(names, 1)]
    raise UserError(in_one_line(f'there is no stage "{asked}"; there is {listing(known)}'))


def _write(target: Path, written: str | bytes) -> None:
    """Write the file, in the place of an earlier one."""
    if target.is_dir():
        raise UserError(f"{shown_path(target)} is a folder")
    if target.exists() and not target.is_file():
        raise UserError(f"{shown_path(target)} is there already, and is no file that is replaced")
    if not target.parent.is_dir():
        raise UserError(f"{shown_path(target)}: there is no folder {shown_path(target.parent)}")
    with replacing(target) as aside:
        aside.write_bytes(written if isinstance(written, bytes) else written.encode())


def _as_data(diagram: Diagram) -> dict[str, Any]:
    return asdict(diagram)
