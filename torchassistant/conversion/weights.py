"""Weights of ``torch.save`` as a safetensors file.

A pickle can run code when it is read. So :mod:`.pickle_process` reads it, and this process believes
nothing that comes from there: what is in the result is read from the result.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from torchassistant.conversion.new_file import new_file
from torchassistant.errors import DataError, UserError, shown_path
from torchassistant.files import InvalidFile, open_regular, parsed_json

SUFFIX = ".safetensors"

_MOST_ANSWERED = 2**28
_PROCESS = Path(__file__).with_name("pickle_process.py")
_PACKAGES = Path(__file__).resolve().parents[2]
_SYSTEM = ("/usr", "/lib", "/lib64", "/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu")
"""Where libraries look for their parts and for the machine's size."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a safetensors file.

    Args:
        shape: Its shape.
        dtype: What safetensors calls its dtype, as ``F32``.
        size: Its bytes.
    """

    shape: tuple[int, ...]
    dtype: str
    size: int


@dataclass(frozen=True, slots=True)
class Converted:
    """What was made of a file of weights.

    Args:
        tensors: By name.
        size: The bytes of the safetensors file.
        key: The dictionary of the file that was taken; empty: what stood at the top.
        others: Other dictionaries with tensors, and how many each has.
        left_out: What else the file holds, and what it is.
        shared: Names of tensors that shared memory; each has its own values now.
        copied: Names of tensors whose values were in another order, or had gaps.
        confined_by: What kept the process that read the file from doing anything else.
    """

    tensors: Mapping[str, Tensor]
    size: int
    key: str
    others: Mapping[str, int]
    left_out: Mapping[str, str]
    shared: Sequence[Sequence[str]]
    copied: Sequence[str]
    confined_by: Sequence[str]


def convert_weights(
    source: str | Path,
    target: str | Path,
    *,
    key: str | None = None,
    exclude: Sequence[str] = (),
    optimizer: str | bool = False,
    skip_objects: bool = False,
    replace: bool = False,
) -> Converted:
    """Write the tensors of a file of ``torch.save`` as a safetensors file, without running code.

    Args:
        source: The file; both of torch's formats are read.
        target: The safetensors file; it appears when it is whole.
        key: Which dictionary in the file is meant, as ``model``, or ``model.ema`` in another; empty
            for the top. Left out: the only one with tensors, or ``state_dict``.
        exclude: Patterns (fnmatch) of names that are left out.
        optimizer: Whether the state of an optimizer is taken in place of weights: the only one
            (True), or that which is there in the file, as ``optimizers.0``.
        skip_objects: Whether objects that are no data are left out, rather than refused.
        replace: Whether an existing target is replaced.

    Raises:
        UserError: The file cannot be converted, or the target is there.
        NotWritten: The target cannot be written.
    """
    if optimizer is not False and (key is not None or exclude):
        raise UserError("--key and --exclude choose weights, and --optimizer takes none")
    source, target = Path(source), Path(target)
    _expect_free(source, target, replace)
    try:
        with open_regular(source) as file, new_file(target, replace) as output:
            request = {
                "output": output,
                "key": key,
                "exclude": list(exclude),
                "optimizer": optimizer,
                "skips_objects": skip_objects,
                "readable": [*_import_folders(), *_SYSTEM],
                "parent": os.getpid(),
            }
            answer = _answer_to(request, file.fileno(), source)
            _expect_converted(answer, source, target)
            tensors, size = _tensors_of(output)
    except FileNotFoundError:
        raise DataError(f"{shown_path(source)}: there is no such file") from None
    except InvalidFile as error:
        raise DataError(f"{shown_path(source)} {error}") from None
    return Converted(
        tensors,
        size,
        key=_text(answer.get("key")),
        others={_text(name): n for name, n in _items(answer, "others") if isinstance(n, int)},
        left_out={_text(name): _text(what) for name, what in _items(answer, "left_out")},
        shared=[list(map(_text, names)) for names in _list(answer.get("shared"))],
        copied=list(map(_text, _list(answer.get("copied")))),
        confined_by=list(map(_text, _list(answer.get("confined_by")))),
    )


def _expect_free(source: Path, target: Path, replace: bool) -> None:
    if target.suffix.lower() != SUFFIX:
        raise UserError(f"{shown_path(target)}: the name of the result has to end in {SUFFIX}")
    if not target.parent.is_dir():
        raise UserError(f"{shown_path(target)}: there is no folder {shown_path(target.parent)}")
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return
    with_source = source.exists() and os.path.samestat(os.stat(source), os.stat(target))
    if with_source:
        raise UserError(f"{shown_path(target)} is the file that is to be converted")
    if not replace:
        raise UserError(f"{shown_path(target)} is there already; --replace replaces it")
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{shown_path(target)} is not a regular file, and is not replaced")


# --- the process ----------------------------------------------------------------------------------


def _import_folders() -> list[str]:
    """Where the process imports from: as this one, but not from the working directory."""
    here = os.path.realpath(os.getcwd())
    folders = [path for path in sys.path if path and os.path.realpath(path) != here]
    # Last, so that what lies beside the package hides nothing.
    return [*folders, str(_PACKAGES), sys.prefix, sys.base_prefix]


def _answer_to(request: Mapping[str, Any], source: int, name: Path) -> dict[str, Any]:
    """What the process answers.

    Raises:
        UserError: It ended without an answer.
    """
    # -P: what lies in the working directory is not imported.
    command = [sys.executable, "-P", "-B", str(_PROCESS)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(_import_folders()[:-2]),
        # The limits hold for each thread from where it begins.
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    with subprocess.Popen(
        [*command, json.dumps(request)],
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        pass_fds=[request["output"]],
    ) as process:
        assert process.stdout is not None
        try:
            answer = process.stdout.read(_MOST_ANSWERED)
            # It ends when it has answered; who answers more is not waited for.
            process.stdout.close()
            ended = process.wait(timeout=10)
        finally:
            process.kill()
    if ended or not answer:
        raise DataError(f"{shown_path(name)} was not converted: {_how(ended)}")
    try:
        outcome = parsed_json(answer)
    except InvalidFile:
        outcome = None
    if not isinstance(outcome, dict):
        raise DataError(f"{shown_path(name)} was not converted: the process that read it lied")
    return outcome


def _how(ended: int) -> str:
    """How the process ended that should have answered."""
    if ended == -getattr(signal, "SIGXCPU", 0):
        return "to read it takes far longer than a file of its size should"
    if ended == -getattr(signal, "SIGXFSZ", 0):
        return "the result would be far larger than a file of its size should give"
    if ended < 0:
        return f"the process that read it was ended by {signal.Signals(-ended).name}"
    return f"the process that read it ended with status {ended}"


def _expect_converted(answer: Mapping[str, Any], source: Path, target: Path) -> None:
    if "refused" in answer:
        raise DataError(f"{shown_path(source)} {_text(answer['refused'])}")
    if "not_written" in answer:
        number = answer["not_written"]
        why = os.strerror(number) if isinstance(number, int) else "it could not be written"
        raise OSError(number if isinstance(number, int) else 0, why, str(target))


def _tensors_of(output: int) -> tuple[dict[str, Tensor], int]:
    """The tensors of the result, and its bytes.

    Raises:
        DataError: It is no safetensors file.
    """
    size = os.fstat(output).st_size
    with open(output, "rb", closefd=False) as file:
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, size))
        path = f"/dev/fd/{output}"
        try:
            with safe_open(path, "np") as whole:
                names = whole.keys()
            table = parsed_json(header)
            tensors = {name: _tensor(table[name]) for name in names}
        except (SafetensorError, InvalidFile, LookupError, TypeError) as error:
            raise DataError(f"the result is no safetensors file ({error})") from None
    return dict(sorted(tensors.items(), key=lambda named: table[named[0]]["data_offsets"])), size


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    return Tensor(tuple(entry["shape"]), entry["dtype"], end - begin)


# What the process answers is taken for what it should be, and for no more.


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _items(answer: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    value = answer.get(key)
    return list(value.items()) if isinstance(value, dict) else []
