"""The targets of the fuzzers, in a separate process: one recipe in, one answer out, as JSON lines.

The answer is what went wrong, or null. Any exception other than those meant for users is wrong.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import entries
import torch
from faults import ROOT
from manifests import is_small_file, update_digests

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, UserCodeError, UserError
from torchassistant.session.create import Draft

Recipe = dict[str, Any]
Steps = tuple[str | int, ...]

MEMORY = 3 * 2**30
"""Bytes that a recipe may allocate."""


def runnable() -> dict[str, Any]:
    """A config that needs only torch, and has most kinds of state."""
    x = {"tensor": [[float(number), 1.0] for number in range(12)], "dtype": "float32"}
    y = {"tensor": [[2.0 * number] for number in range(12)], "dtype": "float32"}
    layers = [
        {"class": "torch.nn.Linear", "args": [2, 3]},
        {"class": "torch.nn.BatchNorm1d", "args": [3]},
        {"class": "torch.nn.Dropout", "args": [0.1]},
        {"class": "torch.nn.Linear", "args": [3, 1]},
    ]
    groups: dict[str, dict[str, Any]] = {
        "datasets": {"data": {"class": "torch.utils.data.TensorDataset", "args": [x, y]}},
        "splits": {"parts": {"dataset_name": "data", "ratio": [0.75, 0.25]}},
        "loader_factories": {
            "loader": {"dataset": "parts.train", "kwargs": {"batch_size": 3}},
            "checking": {"dataset": "parts.val", "kwargs": {"batch_size": 3}},
        },
        "models": {"net": {"class": "torch.nn.Sequential", "args": layers}},
        "optimizers": {
            "adam": {
                "class": "Adam",
                "model": "net",
                "kwargs": {"lr": 0.01},
                "lr_scheduler": {"class": "StepLR", "args": [1]},
            }
        },
        "losses": {"mse": {"class": "MSELoss", "inputs": ["p", "y"]}},
        "metrics": {
            "error": {"class": "torchmetrics.MeanSquaredError", "inputs": ["p", "y"]},
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    {
                        "model_name": "net",
                        "inputs": ["x"],
                        "outputs": ["p"],
                        "optimizer_name": "adam",
                    }
                ]
            }
        },
    }
    pipelines = {
        name: {
            "input_factories": [{"variable_names": ["x", "y"], "loader_factory": loader}],
            "losses": [{"loss_name": "mse", "loss_display_name": shown}],
            "metrics": [{"metric_name": "error", "display_name": f"{name} error"}],
        }
        for name, loader, shown in (("fit", "loader", "loss"), ("check", "checking", "val loss"))
    }
    return {
        "session_dir": "run",
        "seed": 1,
        "device": "cpu",
        "checkpoints": {"every_iterations": 2, "keep_last": 3},
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": pipelines,
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["fit"],
                    "validation_pipelines": ["check"],
                    "stop_condition": {"class": "EpochsCompleted", "args": [2]},
                }
            ]
        },
    }


def sources() -> dict[str, Any]:
    """The configs that are edited, by name."""
    found = {"runnable": runnable()}
    for path in sorted((ROOT / "examples").glob("*/*.json")):
        with contextlib.suppress(ConfigError, ValueError):
            lines = path.read_text(encoding="utf-8").splitlines()
            text = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
            found[f"{path.parent.name}/{path.name}"] = json.loads(text)
    return found


# Edits


@contextlib.contextmanager
def however_deep() -> Iterator[None]:
    """Raise the recursion limit, to copy and write deeply nested data."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def edited(data: Any, edits: list[Any]) -> Any:
    """JSON data with edits."""
    with however_deep():
        return _edited(data, edits)


def _edited(data: Any, edits: list[Any]) -> Any:
    whole = {"": copy.deepcopy(data)}
    for edit, place, value in edits:
        places = list(_places(whole))
        holder, key = places[place % len(places)]
        if edit == "put":
            holder[key] = value
        elif edit == "copy":
            other, at = places[value % len(places)]
            holder[key] = copy.deepcopy(other[at])
        elif edit == "deep":
            for number in range(value):
                holder[key] = [holder[key]] if number % 2 else {"class": holder[key]}
        elif edit == "drop" and holder is not whole:
            del holder[key]
        elif edit == "double" and isinstance(holder, list):
            holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(value)]
        elif edit == "rename" and isinstance(holder, dict) and holder is not whole:
            holder[value] = holder.pop(key)
    return whole[""]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """What holds something, and under which key or index; without recursion."""
    waiting = [node]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], (dict, list)):
                waiting.append(holder[key])


def text_of(data: Any, indent: int | None = None) -> str:
    """JSON, however deep."""
    with however_deep():
        return json.dumps(data, indent=indent)


def text_edited(text: str, edits: list[Any]) -> bytes:
    """A text with edits."""
    for edit, place, value in edits:
        if edit == "text":
            length, new = value
            at = place % (len(text) + 1)
            text = text[:at] + new + text[at + length :]
        else:
            lines = text.splitlines(keepends=True) or [""]
            lines.insert(place % len(lines), lines[value % len(lines)])
            text = "".join(lines)
    return text.encode("utf-8", "surrogatepass")


def file_edited(folder: Path, outside: Path, edit: str, place: int, value: Any) -> None:
    """Change a file of a folder, or replace it."""
    files = [path for path in sorted(folder.rglob("*")) if is_small_file(path)]
    if not files:
        return
    path = files[place % len(files)]
    data = bytearray(path.read_bytes())
    if edit == "flip" and data:
        data[value // 8 % len(data)] ^= 1 << value % 8
    elif edit == "bytes" and data:
        at, number = value
        at = at % len(data) // 8 * 8
        data[at : at + 8] = number.to_bytes(8, "little")
    elif edit == "cut":
        data = data[: value % (len(data) + 1)]
    elif edit == "add":
        data += b"\0" * value
    elif edit == "within":
        with contextlib.suppress(ValueError):
            data = bytearray(text_of(edited(json.loads(data), [value])).encode())
    if bytes(data) != path.read_bytes():
        path.write_bytes(data)
    elif edit == "swap":
        other = files[value % len(files)]
        mine, others = path.read_bytes(), other.read_bytes()
        path.write_bytes(others)
        other.write_bytes(mine)
    elif edit == "stray":
        with contextlib.suppress(OSError):
            (path.parent / value).write_bytes(b"\0\5\x16\7")
    elif edit == "replace":
        _replace(path if place % 5 else path.parent, folder, outside, value)


def _replace(path: Path, folder: Path, outside: Path, kind: str) -> None:
    """Replace a file, or a subfolder, by something else."""
    if path == folder:
        return
    if kind == "mode":
        path.chmod(0o666)
    elif kind == "sparse":
        if path.is_file():
            os.truncate(path, 2**42)
    else:
        target = outside / f"{len(os.listdir(outside))}"
        path.rename(target)
        if kind == "link":
            path.symlink_to(target)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "dangling":
            path.symlink_to(outside / "nowhere")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "hard" and target.is_file():
            os.link(target, path)


# Targets


class Configs:
    """Configs are checked, or one batch of them is run. Nothing is written."""

    plain: ClassVar[Recipe] = {"source": "runnable", "how": "preflight", "edits": [], "texts": []}

    def __init__(self, folder: Path) -> None:
        self.sources = sources()
        self.folder = folder / "work"

    def complaint(self, recipe: Recipe) -> str | None:
        """What is wrong with the reaction to a config."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        os.chdir(self.folder)
        source = self.sources[recipe["source"]]
        # Lines, to change some of them; what is deep would be nothing but spaces.
        indent = None if any(edit[0] == "deep" for edit in recipe["edits"]) else 1
        text = text_edited(text_of(edited(source, recipe["edits"]), indent), recipe["texts"])
        (self.folder / "c.json").write_bytes(text)
        try:
            with quiet():
                draft = Draft("c.json")
                if recipe["how"] == "preflight":
                    draft.preflight()
        except UserError as error:
            for problem in [*error.problems, *error.warnings]:
                str(problem).encode()
        except UserCodeError:
            if recipe["how"] != "preflight":
                raise
        left = sorted(path.name for path in self.folder.iterdir())
        return None if left == ["c.json"] else f"it wrote {left}"


class Sessions:
    """Sessions are loaded, evaluated and trained; what is outside stays as it is."""

    plain: ClassVar[Recipe] = {"how": 1, "digests": False, "edits": []}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        if not self.whole.exists():
            with quiet():
                create_session(runnable(), self.whole).train()

    def complaint(self, recipe: Recipe) -> str | None:
        """What is wrong with the reaction to a session."""
        session, outside = copied(self.whole, self.folder)
        for edit in recipe["edits"]:
            file_edited(session, outside, *edit)
        if recipe["digests"]:
            update_digests(session)
        before = small_files(outside)
        path = session / "spec.json"
        spec = path.read_bytes() if is_small_file(path) else b""
        try:
            with quiet():
                loaded = load_session(session)
                if recipe["how"] % 3 == 1:
                    loaded.evaluate()
                elif recipe["how"] % 3 == 2:
                    loaded.train()
        except UserError as error:
            for problem in [*error.problems, *error.warnings]:
                str(problem).encode()
        except UserCodeError:
            # A config that is another one may name what raises.
            if spec == (self.whole / "spec.json").read_bytes() and not recipe["digests"]:
                raise
        if small_files(outside) != before or (outside / "nowhere").exists():
            return "it changed what lies outside"
        return None


class Caches:
    """Caches give what their dataset gives, whatever is in them."""

    plain: ClassVar[Recipe] = {"how": 1, "digests": False, "edits": []}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        if not self.whole.exists():
            entries.filled(self.whole)

    def complaint(self, recipe: Recipe) -> str | None:
        """What is wrong with the reaction to a cache."""
        cache, outside = copied(self.whole, self.folder)
        entry = entries.entry_in(cache)
        for edit in recipe["edits"]:
            file_edited(entry if recipe["how"] else cache, outside, *edit)
        # Other values with matching digests are accepted if they are not among those compared.
        accepted = False
        if recipe["digests"] and is_small_file(entry / "entry.json"):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
                entries.update_digests(entry)
            accepted = any(edit[0] in ("flip", "bytes", "swap") for edit in recipe["edits"])
        before = small_files(outside)
        wrong = None
        try:
            dataset, _ = entries.filled(cache)
            wrong = entries.complaint(dataset)
        except UserError:
            if not accepted:
                raise
        if small_files(outside) != before or (outside / "nowhere").exists():
            return "it changed what lies outside"
        return None if accepted else wrong


def copied(whole: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of a folder, and another one beside it, for what lies outside."""
    os.chdir(folder)
    for name in ("copy", "outside"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(whole, folder / "copy")
    (folder / "outside").mkdir()
    return folder / "copy", folder / "outside"


def small_files(folder: Path) -> dict[str, bytes]:
    """What regular files hold, without those that are huge."""
    found = [path for path in folder.rglob("*") if is_small_file(path)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide printed output and warnings."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def signature(error: BaseException) -> str:
    """What was raised, and by which line of the package: other examples of it are the same."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "torchassistant" in Path(f.filename).parts] or frames
    last = ours[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} ({last.line})"


def bounded() -> None:
    """Bound the memory of this process, where the system says how much it has."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


TARGETS: dict[str, Callable[[Path], Configs | Sessions | Caches]] = {
    "configs": Configs,
    "sessions": Sessions,
    "caches": Caches,
}


def main() -> None:
    """Answer recipes until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    # Do not wait for the disk.
    os.fsync = lambda handle: None  # type: ignore[assignment]
    target = TARGETS[sys.argv[1]](Path(sys.argv[2]))
    # The unchanged input must pass; this also triggers late imports.
    wrong = target.complaint(target.plain)
    assert wrong is None, wrong
    bounded()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer = target.complaint(json.loads(line))
        except BaseException as error:
            traceback.print_exc()
            answer = signature(error)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
