"""Data that torchvision downloads: building only reads it, and another process fetches it.

A dataset is always made as if it had been asked not to download. Where its data is not there, and
the config asks for it, :mod:`.download_process` makes it in a fresh folder beside the data, and
what came is moved into its place once all of it is whole. So nothing is unpacked over anything, and
who interrupts a download finds the data's folder as it was.
"""

from __future__ import annotations

import errno
import fcntl
import filecmp
import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.idx import expect_sound
from torchassistant.assembly.monkeypatch import replaced
from torchassistant.assembly.reviewed_callables import Verdict, verdict_of
from torchassistant.compat.archives import unpacking_functions
from torchassistant.data import walking
from torchassistant.errors import UserError, listing, shown_path
from torchassistant.files import InvalidFile, open_regular
from torchassistant.messages import logger_for

_log = logger_for(__name__)

DATASETS = "torchvision.datasets"

_NOT_SENT = ("transform", "target_transform", "transforms", "loader", "is_valid_file")
"""Arguments of datasets that have nothing to do with what is fetched."""

_FETCHING = (
    *("download_url", "download_file_from_google_drive", "download_and_extract_archive"),
    "extract_archive",
)
_MISSING = re.compile("not found|no such file|not exist|not present|corrupted", re.IGNORECASE)
_ASIDE = ".torchassistant-fetching-"
_SCRIPT = Path(__file__).with_name("download_process.py")


class Missing(Exception):
    """Data or weights are not there, and are not fetched now; the message is a sentence."""


class NotFetched(Exception):
    """Data cannot be had; the message is a sentence for the user."""


class _Unpacks(RuntimeError):
    """Something would have been fetched, or unpacked."""


def is_dataset(target: Any) -> bool:
    """Whether this is a dataset of torchvision's own."""
    home = getattr(target, "__module__", None)
    is_torchvisions = isinstance(home, str) and home.startswith(f"{DATASETS}.")
    return is_torchvisions and inspect.isclass(target)


def dataset_in(target: Any) -> Any:
    """The dataset of torchvision that a class of the user's is made from; None where it is none."""
    return next(filter(is_dataset, getattr(target, "__mro__", ())), None)


def refused_to(
    target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], allowlist: Allowlist
) -> str | None:
    """Why a call is refused that would fetch or unpack what nobody pinned; None where it is not.

    Args:
        target: What is called.
        args: Its arguments by position.
        kwargs: Those by name.
        allowlist: What the person at the command line allows.
    """
    verdict = verdict_of(target)
    if verdict.kind != "open" or allowlist.allow_download:
        return None
    # A dataset that may unpack without being asked to reads what is unpacked.
    reads = verdict.argument is None and is_dataset(target)
    return None if reads or not verdict.is_asked_by(target, args, kwargs) else _refusal(target)


def _refusal(target: Any) -> str:
    name, verdict = getattr(target, "__qualname__", str(target)), verdict_of(target)
    asked = " or".join(
        f' with "{one.argument}"' + (f" {listing(one.values)}" if one.values else "")
        for one in (verdict, *verdict.others)
        if one.argument is not None
    )
    return (
        f"{name}{asked} downloads, follows URLs or unpacks without a checksum, so it is refused; "
        "--allow-download on the command line allows it"
    )


class DataMaker:
    """Makes datasets of torchvision.

    Args:
        allowlist: What the person at the command line allows.
        dry: Whether nothing may be fetched, nor written.
    """

    def __init__(self, allowlist: Allowlist, dry: bool) -> None:
        self.allowlist = allowlist
        self.dry = dry

    def make(self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Make a dataset of data that is there, or that is fetched first.

        Args:
            target: For which :func:`is_dataset` is true; in a dry run, one made from such a one.
            args: Its arguments by position.
            kwargs: Those by name.

        Raises:
            Missing: The data is not there, and is not fetched now.
            NotFetched: It cannot be had.
        """
        verdict = verdict_of(dataset_in(target))
        bound = inspect.signature(target).bind(*args, **kwargs)
        given = _named(bound)
        may_fetch = verdict.kind in ("pinned", "open")
        asked = may_fetch and verdict.is_asked_by(target, args, kwargs)
        _say_no(bound, verdict)
        root = data_folder(bound.arguments.get("root"))
        try:
            if root is not None and not root.is_dir() and may_fetch:
                # Some make their folder, whatever they are asked.
                raise FileNotFoundError(errno.ENOENT, _no_folder(verdict, asked), str(root))
            return self.made(target, bound, root)
        except (RuntimeError, OSError) as error:
            if not (asked and root is not None and _is_missing(error)):
                raise
            if verdict.kind == "open" and not self.allowlist.allow_download:
                raise NotFetched(_refusal(target)) from error
            if self.dry:
                raise Missing(_missing(target, root, verdict)) from error
        self.fetch(target, given, root, verdict)
        return self.made(target, bound, root)

    def made(self, target: Any, bound: inspect.BoundArguments, root: Path | None) -> Any:
        """The dataset, of what lies there."""
        if root is not None and hasattr(target, "raw_folder"):
            expect_sound(root / target.__name__ / "raw")
        if root is not None:
            _expect_pinned(target, bound, root)
        with walking(), nothing_fetched(_Unpacks):
            return target(*bound.args, **bound.kwargs)

    def fetch(self, target: Any, given: Mapping[str, Any], root: Path, verdict: Verdict) -> None:
        """Fetch the data of one dataset into its folder.

        Args:
            target: The dataset.
            given: Its arguments by name.
            root: Its folder.
            verdict: What is known of it.

        Raises:
            NotFetched: It cannot be had, or may not be written there.
        """
        name = target.__qualname__
        kwargs = {k: v for k, v in given.items() if k not in ("root", *_NOT_SENT)}
        try:
            json.dumps(kwargs)
        except (TypeError, ValueError):
            raise NotFetched(f"{name} is fetched with arguments of plain data only") from None
        real = _written(root, self.allowlist)
        _log.info(f"fetching {name} into {shown_path(root)}")
        with _fresh_folder(real) as aside:
            (aside / "data").mkdir()
            pinned = not self.allowlist.allow_download
            if verdict.argument is None or verdict.kind == "open":
                _lay_out(real, aside / "data")
            fresh = str(aside / "data")
            request = {
                "module": target.__module__,
                "name": name,
                "kwargs": kwargs,
                "aside": str(aside),
                "data": str(real),
                "pinned": pinned,
                "path": _importable(),
            }
            _expect_fetched(_run(request), name, lambda said: said.replace(fresh, str(real)))
            _move(aside / "data", real)


def data_folder(root: Any) -> Path | None:
    """The folder that the root of a dataset means; None where it is none."""
    if not isinstance(root, (str, os.PathLike)):
        return None
    return Path(os.path.expanduser(os.fspath(root))).absolute()


class Absent(NamedTuple):
    """Data that is certainly not there.

    Args:
        message: Says so.
        refused: Why it may not be fetched into its folder; None where it may.
    """

    message: str
    refused: str | None


def absent(
    target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], allowlist: Allowlist
) -> Absent | None:
    """What is to be fetched for a call, as far as that can be seen without reading anything.

    Args:
        target: What is called.
        args: Its arguments by position, as the config has them.
        kwargs: Those by name.
        allowlist: What the person at the command line allows.
    """
    verdict = verdict_of(target)
    if not is_dataset(target) or verdict.kind not in ("pinned", "open"):
        return None
    try:
        bound = inspect.signature(target).bind_partial(*args, **kwargs)
    except TypeError:
        return None
    root = data_folder(bound.arguments.get("root"))
    if root is None or not verdict.is_asked_by(target, args, kwargs):
        return None
    # Where these families look; in the folder of another there may be anything.
    below = target.__name__ if hasattr(target, "raw_folder") else vars(target).get("base_folder")
    if (root / below if isinstance(below, str) else root).is_dir():
        return None
    try:
        _written(root, allowlist)
    except NotFetched as error:
        return Absent(_missing(target, root, verdict), str(error))
    return Absent(_missing(target, root, verdict), None)


def _expect_pinned(target: Any, bound: inspect.BoundArguments, root: Path) -> None:
    """Expect the archive to be what torchvision pins, of a dataset that unpacks it to read it.

    Raises:
        UserError: It is something else.
    """
    home = sys.modules[f"{DATASETS}.usps"]
    if not issubclass(target, home.USPS):
        return
    is_train = bound.arguments.get("train", True)
    _, name, md5 = target.split_list["train" if is_train else "test"]
    found = hashlib.md5(usedforsecurity=False)
    try:
        with open_regular(os.path.realpath(root / name)) as file:
            while chunk := file.read(1 << 20):
                found.update(chunk)
    except FileNotFoundError:
        return
    except InvalidFile as error:
        raise UserError(f"{shown_path(root / name)} {error}") from None
    if found.hexdigest() != md5:
        raise UserError(
            f"{shown_path(root / name)} does not have the MD5 sum that torchvision pins ({md5}; it "
            f"has {found.hexdigest()}), so it is not unpacked; move it away to fetch it again"
        )


def _no_folder(verdict: Verdict, asked: bool) -> str:
    may_ask = verdict.kind == "pinned" and verdict.argument == "download" and not asked
    hint = ' (with "download": true init downloads the data)' if may_ask else ""
    return f"there is no such folder{hint}"


def _missing(target: Any, root: Path, verdict: Verdict) -> str:
    if verdict.argument is None:
        return (
            f"the data of {target.__qualname__} is not unpacked in {shown_path(root)}: init "
            "unpacks it if its archives are there; check never does"
        )
    return (
        f"the data of {target.__qualname__} is missing in {shown_path(root)}: init downloads it; "
        "check never does"
    )


def _is_missing(error: BaseException) -> bool:
    is_not_there = isinstance(error, (FileNotFoundError, NotADirectoryError, _Unpacks))
    return is_not_there or _MISSING.search(str(error)) is not None


def _say_no(bound: inspect.BoundArguments, verdict: Verdict) -> None:
    """Let a call ask for no download."""
    if verdict.kind not in ("pinned", "open"):
        return
    asks = verdict.argument or "download"
    if asks in bound.signature.parameters:
        bound.arguments[asks] = False
    elif verdict.argument is not None:
        for name, parameter in bound.signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {**bound.arguments.get(name, {}), asks: False}


def _named(bound: inspect.BoundArguments) -> dict[str, Any]:
    """All arguments by name."""
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        named |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return named


@contextmanager
def nothing_fetched(error: type[Exception] = Missing) -> Iterator[None]:
    """Let the datasets of torchvision neither fetch nor unpack.

    Args:
        error: What is raised instead.
    """

    def refuse(*args: Any, **kwargs: Any) -> Any:
        what = next(iter([*args, *kwargs.values()]), "something")
        raise error(
            f"{what} is missing, or not unpacked: init downloads or unpacks it; check never does"
        )

    home = sys.modules.get(f"{DATASETS}.utils")
    if home is None:
        yield
        return
    originals = {
        name: getattr(home, name)
        for name in (*_FETCHING, *unpacking_functions(home))
        if hasattr(home, name)
    }
    modules = [m for name, m in [*sys.modules.items()] if name.startswith(f"{DATASETS}.")]
    functions = (
        (module, name, refuse)
        for module in modules
        for name, original in originals.items()
        if vars(module).get(name) is original
    )
    # It has a step of its own between what is unpacked and what is read, and writes a file by it.
    phototour = sys.modules[f"{DATASETS}.phototour"].PhotoTour
    with replaced([*functions, (phototour, "cache", refuse)]):
        yield


# The process


def _importable() -> list[str]:
    """Where the process imports from: as this one, but not from the working directory."""
    here = os.path.realpath(os.getcwd())
    return [path for path in sys.path if path and os.path.realpath(path) != here]


def _run(request: Mapping[str, Any]) -> dict[str, Any]:
    # -P: what lies in the working directory is not imported.
    command = [sys.executable, "-P", "-B", str(_SCRIPT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
            answer = process.stdout.read()
        finally:
            # Also where somebody interrupts: what it has done is cleared away.
            process.kill()
    if not answer:
        raise NotFetched(f"the process that fetches data ended with {process.returncode}")
    outcome: dict[str, Any] = json.loads(answer)
    return outcome


def _expect_fetched(outcome: Mapping[str, Any], name: str, in_place: Callable[[str], str]) -> None:
    """Expect the process to have fetched something.

    Args:
        outcome: What it answers.
        name: Of the dataset.
        in_place: Names the data's folder where a text names the fresh one.

    Raises:
        NotFetched: It has not.
    """
    if "unreachable" in outcome:
        tried = "; ".join(f"{url}: {why}" for url, why in outcome["unreachable"].items())
        raise NotFetched(f"the data of {name} could not be downloaded: {_in_line(tried)}")
    if "denied" in outcome:
        raise NotFetched(f"the data of {name} was not fetched: {outcome['denied']}")
    if "raised" in outcome:
        raise NotFetched(
            f"the data of {name} was not fetched: {_in_line(in_place(outcome['raised']))}"
        )


def _in_line(text: str) -> str:
    return " ".join(text.split())


# The folders


def _written(root: Path, allowlist: Allowlist) -> Path:
    """The real folder behind one that data is to be fetched into; it need not be there.

    Raises:
        NotFetched: It is no folder, or lies where a config may have nothing written.
    """
    try:
        place = allowlist.writing.folder(root)
    except UserError as error:
        raise NotFetched(
            f"data would be fetched into its folder, which is not allowed: {error}"
        ) from None
    found = Path(place.path)
    if found.exists() and not found.is_dir():
        raise NotFetched(f"{shown_path(root)} is not a folder, so no data can be put there")
    return found


@contextmanager
def _fresh_folder(data: Path) -> Iterator[Path]:
    """A folder in the data's folder, which is gone afterwards, as are folders that stay empty."""
    made = _made(data)
    try:
        _clear_litter(data)
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=data))
        lock = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            os.close(lock)
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


def _made(folder: Path) -> list[Path]:
    """Make a folder and those that it lies in; which ones were made."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _clear_litter(data: Path) -> None:
    """Remove what a fetch left that was killed."""
    for left in data.glob(f"{_ASIDE}*"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def _lay_out(data: Path, fresh: Path) -> None:
    """Show what lies in the data's folder in the fresh one, by links through which one can read."""
    for path in data.iterdir():
        if not path.name.startswith(_ASIDE):
            os.symlink(path, fresh / path.name)


def _move(fresh: Path, data: Path) -> None:
    """Move what came into the data's folder, if nothing else is in its way.

    Raises:
        NotFetched: Something else is.
    """
    moves: list[tuple[Path, Path]] = []
    _plan(fresh, data, moves.append)
    for source, goal in moves:
        os.rename(source, goal)


def _plan(fresh: Path, data: Path, add: Callable[[tuple[Path, Path]], None]) -> None:
    for entry in sorted(os.scandir(fresh), key=lambda entry: entry.name):
        source, goal = Path(entry.path), data / entry.name
        if entry.is_symlink() and os.path.isabs(os.readlink(source)):
            continue  # one that leads to what lies in the data's folder
        if not os.path.lexists(goal):
            add((source, goal))
        elif goal.is_symlink():
            raise NotFetched(f"{shown_path(goal)} is a link, and nothing is written through it")
        elif entry.is_dir(follow_symlinks=False) and goal.is_dir():
            _plan(source, goal, add)
        elif not (goal.is_file() and filecmp.cmp(source, goal, shallow=False)):
            raise NotFetched(
                f"{goal} is there, and is not what is fetched; nothing was changed: move it away"
            )
