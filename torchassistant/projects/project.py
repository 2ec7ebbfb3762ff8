"""The kinds of projects, each a folder of files here, and what becomes of these files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from torchassistant.errors import Problem, UserError, near, shown_path
from torchassistant.projects.module_name import module_name
from torchassistant.whole_files import make_folder, naming

KINDS = {
    "classifier": "tells four shapes apart in noisy pictures; the one to begin with",
    "regression": "learns from a simulation how far a ball flies",
    "segmentation": "finds circles and squares, pixel by pixel",
    "gan": "draws, taught by a net that tells its pictures from real ones",
    "seq2seq": "writes numbers in digits that it reads in words",
    "distillation": "a wide net learns, and then teaches a narrow one",
    "finetune": "a ResNet that has learnt some shapes learns others from few pictures",
}
"""What each does, in one line. The folder of its name holds its files."""

_HERE = Path(__file__).parent
_MODULE = "module.py.txt"
_PLACEHOLDER = "PROJECT"
"""What stands for the name of the module in the files of a kind."""
_CONFIG, _YAML = "training.json", "training.yaml"
_IGNORED = "__pycache__/\nsessions/\n"


class Project(NamedTuple):
    """What was made: the folder, and the names of the files in it."""

    folder: Path
    files: list[str]


def make_project(kind: str, folder: Path, in_yaml: bool = False) -> Project:
    """Write the files of a kind into a new folder, or into an empty one.

    Args:
        kind: One of ``KINDS``.
        folder: The folder; the module has its name.
        in_yaml: Whether the config is written in YAML, in place of JSON.

    Raises:
        UserError: There is no such kind, or something is in the folder.
        NotWritten: It cannot be; then nothing is left of it.
    """
    if kind not in KINDS:
        known = "\n".join(f"  {name}: {summary}" for name, summary in KINDS.items())
        said = f'there is no kind of project "{kind}"{near(kind, KINDS)}'
        raise UserError(Problem(said, details=known))
    _expect_room(folder)
    files = dict(_files(kind, module_name(folder.resolve().name)))
    if in_yaml:
        files = dict(_in_yaml(files))
    is_new = not folder.exists()
    written: list[Path] = []
    try:
        make_folder(folder)
        for name, content in files.items():
            with naming(folder), (folder / name).open("xb") as file:
                written.append(folder / name)
                file.write(content)
    except BaseException:
        for path in written:
            path.unlink()
        if is_new and folder.exists():
            folder.rmdir()
        raise
    return Project(folder, list(files))


def _expect_room(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()):
            raise UserError(
                f"{shown_path(folder)} is not empty; a project goes into a new folder, or into an "
                "empty one"
            )
    elif folder.exists() or folder.is_symlink():
        raise UserError(f"{shown_path(folder)} is there, and is no folder")


def _in_yaml(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The same files, with the config in YAML."""
    from torchassistant.conversion import in_other_form

    for name, content in files.items():
        if name == _CONFIG:
            text, _ = in_other_form(content.decode(), _CONFIG, _YAML)
            yield _YAML, text.encode()
        elif name.endswith(".png"):
            yield name, content
        else:
            yield name, content.replace(_CONFIG.encode(), _YAML.encode())


def _files(kind: str, module: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents, those first that are to be read first."""
    for path in sorted((_HERE / kind).iterdir(), key=lambda path: (path.suffix != ".md", path)):
        content = path.read_bytes()
        if path.suffix != ".png":
            content = content.replace(_PLACEHOLDER.encode(), module.encode())
        yield f"{module}.py" if path.name == _MODULE else path.name, content
    yield ".gitignore", _IGNORED.encode()
