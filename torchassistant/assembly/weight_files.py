"""Tensors in files of anybody: safetensors files, and folders as ``transformers`` writes them.

The header of a file tells the names and shapes; a tensor is read when it is asked for, so that a
file may be larger than what is taken of it. A pickle is read only where its sum is pinned, and by
:mod:`torchassistant.conversion`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from torchassistant.assembly.weight_names import one_named
from torchassistant.codec import CodecError
from torchassistant.conversion import convert_weights
from torchassistant.errors import UserError, listing, near, shown_path
from torchassistant.files import InvalidFile, open_regular, parsed_json, read_regular

SUFFIX = ".safetensors"
MODELS = "models"
"""Under which name the metadata of a file lists models, as JSON; their names stand before others.
"""

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".pickle", ".tar")
_MOST_INDEX = 100_000_000
"""Bytes of an index; as many as safetensors allows a header to have."""

_UNFIT = {"I": "whole numbers", "U": "whole numbers", "B": "whole numbers", "C": "complex numbers"}
"""What the dtypes are that stand for no real number, by the first letter of their name in a header;
that of a bfloat16 begins so too."""

_FOREIGN = {
    ".h5": "Keras",
    ".keras": "Keras",
    ".msgpack": "Flax",
    ".npz": "NumPy",
    ".npy": "NumPy",
    ".onnx": "ONNX",
    ".gguf": "GGUF",
}


class Stored(NamedTuple):
    """A tensor that is not read yet.

    Args:
        shape: Its shape.
        unfit: What it holds that stands for no real number, as "whole numbers", which truth values
            and quantized weights are too, or "complex numbers"; empty: real numbers.
        read: Gives it, on the CPU.
    """

    shape: tuple[int, ...]
    unfit: str
    read: Callable[[], torch.Tensor]


Source = Mapping[str, Stored]
"""Tensors by name."""


def held(tensors: Mapping[str, torch.Tensor]) -> Source:
    """Tensors that are in memory already."""
    return {
        name: Stored(
            tuple(tensor.shape),
            _UNFIT["C"] if tensor.is_complex() else _UNFIT["I"] * (not tensor.is_floating_point()),
            partial(_itself, tensor),
        )
        for name, tensor in tensors.items()
    }


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def stored_in(path: Path, named: str | None = None, default: str = "") -> Source:
    """The tensors of a file or folder; of one that ``export`` has written, those of one model.

    Args:
        path: A safetensors file; or a folder with ``model.safetensors``, or with
            ``model.safetensors.index.json`` and the files that it names.
        named: Which model of an exported file; None: the one of the same name, or the only one.
        default: The name of the model that they are for.

    Raises:
        UserError: There is none, or it is something else; the message is a sentence.
    """
    shown = shown_path(path)
    with telling_of(path, _beside):
        if path.is_dir() and (path / _INDEX).exists():
            return _of_model(_sharded(path), [], named, default, shown)
        file = _file_of(path) if path.is_dir() else path
        if file.suffix != SUFFIX:
            refuse(file)
        return _of_model(_in_file(file), _models_in(file), named, default, shown)


@contextmanager
def telling_of(path: Path, beside: Callable[[Path], str] = lambda path: "") -> Iterator[None]:
    """Whatever is wrong with a file is told in a sentence.

    Args:
        path: The file, or the folder of files.
        beside: What there is in its place, as a clause.

    Raises:
        UserError: Something is.
    """
    shown = shown_path(path)
    try:
        yield
    except (InvalidFile, CodecError) as error:
        raise UserError(f"{shown} {error}") from None
    except FileNotFoundError:
        raise UserError(f"there is no {shown}{beside(path)}") from None
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name with a zero byte
        raise UserError(f"{shown} cannot be read: {error}") from None


def stored_in_pinned(path: Path, named: str | None = None, default: str = "") -> Source:
    """The tensors of a file whose sum is what the config says, which may be a pickle.

    A pickle is converted first, in the process that ``convert`` reads it in.

    Args:
        path: The file.
        named: As for :func:`stored_in`.
        default: Likewise.

    Raises:
        UserError: It holds no tensors by name, or more than that.
    """
    if path.suffix not in _PICKLES:
        return stored_in(path, named, default)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"weights{SUFFIX}")
        try:
            convert_weights(path, target)
            return held(load_file(target))
        except UserError as error:
            command = f"torchassistant convert {shown_path(path)} NEW{SUFFIX}"
            hint = f'; "{command}" has these options' if " --" in str(error) else ""
            raise UserError(f"{error}{hint}") from None


def _beside(path: Path) -> str:
    """The files of weights that lie where one was looked for."""
    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix == path.suffix]
    except OSError:
        return f": there is no folder {shown_path(path.parent)}"
    return near(path.name, names)


def refuse(path: Path, option: str = "") -> None:
    """See that a file that is no safetensors file is not taken for one.

    Args:
        path: The file.
        option: Of the command that makes one of it.

    Raises:
        UserError: Always, where the file is there.
    """
    open_regular(os.path.realpath(path)).close()
    shown = shown_path(path)
    if path.suffix in _PICKLES:
        safe = path.with_suffix(SUFFIX)
        raise UserError(
            f"{shown} may be a pickle, which no config reads: "
            f'"torchassistant convert {shown} {shown_path(safe)}{option}" makes a file of it that '
            "is read"
        )
    kind = _FOREIGN.get(path.suffix)
    said = "" if kind is None else f", but one of {kind}"
    raise UserError(
        f'{shown} is no {SUFFIX} file{said}; a "factory_fn" can read it and give a state dict'
    )


def _in_file(path: Path) -> Source:
    """The tensors of a safetensors file, which may be reached through a link.

    Raises:
        InvalidFile: It is none.
        OSError: It cannot be read.
    """
    real = os.path.realpath(path)
    open_regular(real).close()
    try:
        with safe_open(real, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Stored(
                    tuple(found.get_shape()),
                    _unfit(found.get_dtype()),
                    partial(_read, real, name),
                )
                for name, found in slices.items()
            }
    except OSError:
        raise
    except Exception as error:
        raise InvalidFile(f"is not a whole {SUFFIX} file ({error})") from None


def _unfit(dtype: str) -> str:
    return "" if dtype == "BF16" else _UNFIT.get(dtype[:1], "")


def _read(path: str, name: str) -> torch.Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(name)
    except Exception as error:
        raise UserError(f'{shown_path(path)}: "{name}" cannot be read ({error})') from None


def _models_in(path: Path) -> list[str]:
    """The models whose names stand before those of the tensors, in a file of ``export``."""
    with safe_open(os.path.realpath(path), framework="pt") as file:
        told = (file.metadata() or {}).get(MODELS)
    names = None if told is None else parsed_json(told.encode())
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise InvalidFile(f'says of its models ("{MODELS}") what are no names')
    return names or []


def _of_model(
    source: Source, models: Collection[str], named: str | None, default: str, shown: str
) -> Source:
    """The tensors of one model, under its own names.

    Raises:
        UserError: There is none of that name, or nobody knows which is meant.
    """
    if not models and named is not None:
        raise UserError(
            f'{shown} does not say what models it has, as a file of "export" does: leave out '
            '"model", and let "rename" and "include" choose'
        )
    if not models:
        return source
    meant = one_named(named, default, models, "model", shown)
    # Of "net" and "net.head" the longer one has what begins with both.
    others = [f"{name}." for name in models if name.startswith(f"{meant}.")]
    return {
        name.removeprefix(f"{meant}."): stored
        for name, stored in source.items()
        if name.startswith(f"{meant}.") and not name.startswith(tuple(others))
    }


def _file_of(folder: Path) -> Path:
    """The file of weights in a folder as ``transformers`` and ``export`` write it.

    Raises:
        UserError: There is none.
    """
    if (folder / _WHOLE).exists():
        return folder / _WHOLE
    shown = shown_path(folder)
    if (folder / "checkpoints").is_dir():
        raise UserError(f'{shown} is a session: write "session:{shown}"')
    names = sorted(path.name for path in folder.iterdir())
    found = [name for name in names if name.endswith(SUFFIX)]
    if found:
        raise UserError(f"{shown} has no {_WHOLE}; name one of its files: {listing(found)}")
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        return folder / pickles[0]
    raise UserError(f"{shown} has no {_WHOLE} and no {_INDEX}")


def _sharded(folder: Path) -> Source:
    """The tensors of several files, which an index names."""
    place = folder / _INDEX
    try:
        index = parsed_json(read_regular(os.path.realpath(place), _MOST_INDEX))
    except InvalidFile as error:
        raise UserError(f"{shown_path(place)} {error}") from None
    shards = dict(_shards(index, shown_path(place)))
    found: dict[str, Stored] = {}
    for shard in dict.fromkeys(shards.values()):
        try:
            inside = _in_file(folder / shard)
        except FileNotFoundError:
            raise UserError(f'{shown_path(place)} names "{shard}", which is not there') from None
        except InvalidFile as error:
            raise UserError(f"{shown_path(folder / shard)} {error}") from None
        for name in (name for name, home in shards.items() if home == shard):
            if name not in inside:
                raise UserError(f'{shown_path(folder / shard)} does not have "{name}"')
            found[name] = inside[name]
    return found


def _shards(index: Any, shown: str) -> Iterator[tuple[str, str]]:
    """Each name in an index, with the file beside it that has the tensor."""
    table = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(table, dict):
        raise UserError(f'{shown} has no "weight_map"')
    for name, shard in table.items():
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(SUFFIX):
            raise UserError(f"{shown}: {shard!r} is no {SUFFIX} file beside it")
        yield name, shard
