"""The process that reads a pickle; run by :mod:`.weights`.

It reads weights from standard input and writes a safetensors file into a handle that it was given;
nobody else reads a pickle. torch's restricted unpickler knows tensors, containers and numbers, and
runs nothing else that a file names. Should that have a flaw, the process has by then given up all
with which it could do harm. What it answers, one object of JSON, is not trusted either.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, BinaryIO

import safetensors.torch
import torch

from torchassistant.codec import STATE, CodecError, encode
from torchassistant.compat.confinement import confine, end_with_parent
from torchassistant.errors import listing, near

MOST_LISTED = 1000
"""Names that are told of one kind; there may be millions."""

GROWTH, LEAST_GROWTH = 32, 2**26
"""How many times larger than the file the result may be, and the bytes that it always may have:
a tied weight is in a file once, and a tensor of one number may claim any size."""

_MEMORY, _LEAST_MEMORY = 3, 2**30  # likewise, of what reading takes
_SECONDS, _BYTES_A_SECOND = 300, 10**7  # of processor time: so many, and one more for so many bytes
_LONGEST_TEXT = 500
_MOST_KINDS = 100
_DEEPEST = 8
_NESTING = (Mapping, list, tuple)
_UNKNOWN = re.compile(r"GLOBAL (\S+) was not an allowed global")
_BLOCKED = re.compile(r"unsupported GLOBAL (\S+) whose module \S+ is blocked")
_REASON = re.compile(r"WeightsUnpickler error: ([^\n]+)")
_BUILTINS = "builtins"


class Refused(Exception):
    """The file is not converted; the message goes on from its name, as "is empty"."""


@dataclass(slots=True)
class Weights:
    """What was found in a file.

    Args:
        tensors: By name.
        key: Where in the file they were, as the option ``--key`` names it; empty: at the top.
        others: Other places of the file with tensors, and how many.
        left_out: What else stood there, and what it is.
        shared: Names of tensors that share memory.
        copied: Names of tensors whose numbers lay in another order, or with gaps.
        metadata: What the new file tells besides.
    """

    tensors: dict[str, torch.Tensor]
    key: str
    others: dict[str, int]
    left_out: dict[str, str]
    shared: list[list[str]] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


# --- reading --------------------------------------------------------------------------------------


def unpickled(file: BinaryIO, skips_objects: bool) -> Any:
    """What a file of ``torch.save`` holds, with stand-ins for objects that are no data.

    Raises:
        Refused: It is no such file, or asks for code.
    """
    _expect_pickle(file)
    kinds: dict[str, type] = {}
    while True:
        file.seek(0)
        named: list[Any] = [(stand_in, name) for name, stand_in in kinds.items()]
        try:
            with torch.serialization.safe_globals(named):
                found = torch.load(file, map_location="cpu", weights_only=True)
            break
        except pickle.UnpicklingError as error:
            name = _name_of_code(error)
            if name in kinds or len(kinds) == _MOST_KINDS:
                raise Refused(_no_weights(error)) from None
            kinds[name] = _stand_in(name)
        except MemoryError:
            raise Refused("asks for more memory than a file of its size can fill") from None
        except RecursionError:
            raise Refused("nests too deep to be read") from None
        except Exception as error:
            if "can't allocate memory" in str(error):
                raise Refused("asks for more memory than a file of its size can fill") from None
            raise Refused(_no_weights(error)) from None
    if isinstance(found, StandIn):
        raise Refused(
            f"holds a whole object of {found.kind}, and no dictionary of tensors: to make it would "
            "run that code. Where you trust it, save its weights alone: "
            "torch.save(model.state_dict(), FILE)"
        )
    if kinds and not skips_objects:
        raise Refused(
            f"holds objects that are no weights, of {listing(list(kinds))}: to make them would run "
            "code. --skip-objects leaves them out, without running any"
        )
    return found


class StandIn:
    """Takes the place of an object that only code could make; keeps nothing, does nothing."""

    kind = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        """Whatever the object would be made from is dropped."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        """Likewise what it would be told of its state."""


def _stand_in(kind: str) -> type[StandIn]:
    module, _, name = kind.rpartition(".")
    return type("StandIn", (StandIn,), {"kind": kind, "__module__": module, "__qualname__": name})


def _name_of_code(error: Exception) -> str:
    """The name of the class or function that a file asks for.

    Raises:
        Refused: It is one that no data asks for; or the file is damaged.
    """
    blocked = _BLOCKED.search(str(error))
    unknown = _UNKNOWN.search(str(error))
    if blocked is None and unknown is None:
        raise Refused(_no_weights(error))
    name = (blocked or unknown)[1]  # type: ignore[index]
    # torch leaves the name of that module out.
    if blocked is not None or "." not in name or name.startswith(f"{_BUILTINS}."):
        raise Refused(
            f"asks for {name} to be called, which no weights do. Nothing of it was run; do not "
            "load this file in any other way"
        )
    return name


def _no_weights(error: Exception) -> str:
    # torch's own text advises to read the file in the unsafe way.
    told = _REASON.search(str(error))
    reason = told[1] if told is not None else next(iter(str(error).strip().splitlines()), "")
    if not reason or "weights_only" in reason.lower():
        reason = type(error).__name__
    return f"is damaged, or holds no weights ({reason[:_LONGEST_TEXT]})"


def _expect_pickle(file: BinaryIO) -> None:
    """Expect a file that torch.save may have written.

    Raises:
        Refused: It is something else, which is named where it is known.
    """
    start = file.read(16)
    if not start:
        raise Refused("is empty")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 10**8:
        raise Refused("is a safetensors file already")
    if start.startswith(b"\x89HDF"):
        raise Refused("is an HDF5 file, of Keras for example, and not one of torch.save")
    if start.startswith(b"version https://"):
        raise Refused("is a pointer of Git LFS in the place of the file: git lfs pull fetches it")
    if not start.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Refused(_no_weights(error)) from None
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        raise Refused(
            "is a TorchScript archive, which is code. Where you trust it, save its weights alone: "
            "torch.save(torch.jit.load(FILE).state_dict(), OTHER)"
        )
    if "archive_format" in inside:
        raise Refused("is an archive of torch.export, and not one of torch.save")
    if "data.pkl" not in inside:
        raise Refused("is a zip archive, but not one of torch.save; it may have to be unpacked")


# --- choosing -------------------------------------------------------------------------------------


def choose(found: Any, key: str | None) -> Weights:
    """The dictionary of tensors that is meant.

    Args:
        found: What the file holds.
        key: Where it is; names of nested dictionaries are joined by dots, and an empty one means
            the top. Left out: the only one, or that of the name ``state_dict``.

    Raises:
        Refused: There is none, or it is not clear which one is meant.
    """
    if not isinstance(found, Mapping):
        what = _described(found)
        raise Refused(f"holds no dictionary of tensors, but {what}")
    places = dict(_dictionaries(found))
    if not places:
        raise Refused(f"holds no dictionary of tensors; it has {listing([*map(str, found)])}")
    if key is None:
        key = "state_dict" if "state_dict" in places else next(iter(places))
        if len(places) > 1 and key != "state_dict":
            counts = ", ".join(f"--key '{k}' ({_count(p)})" for k, p in places.items())
            raise Refused(f"holds several dictionaries of tensors; choose one: {counts}")
    if key not in places:
        raise Refused(f'holds no tensors under "{key}"{near(key, places)}')
    chosen = places.pop(key)
    left_out = {str(n): _described(v) for n, v in chosen.items() if not _is_named_tensor(n, v)}
    if key:
        told = {key, key.partition(".")[0], *places}
        left_out |= {str(n): _described(v) for n, v in found.items() if n not in told}
    tensors = {name: value for name, value in chosen.items() if _is_named_tensor(name, value)}
    return Weights(tensors, key, {k: _number_in(p) for k, p in places.items()}, left_out)


def _dictionaries(found: Mapping[Any, Any]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """All dictionaries that hold tensors by name, by where they are; each is yielded once."""

    def inside(at: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
        return [
            (name, value)
            for name, value in at.items()
            if isinstance(name, str) and isinstance(value, Mapping)
        ]

    for place, at in _nested(found, inside):
        if _number_in(at):
            yield place, at


def _nested(
    found: Any, inside: Callable[[Any], Iterable[tuple[Any, Any]]]
) -> Iterator[tuple[str, Any]]:
    """A value and what is in it, level by level, by where it is; each is yielded once.

    Args:
        found: The value.
        inside: What is in a value, by name or number.
    """
    seen: set[int] = set()
    level = [("", found)]
    for _ in range(_DEEPEST):
        inner = []
        for place, at in level:
            if id(at) in seen:
                continue
            seen.add(id(at))
            yield place, at
            inner += [
                (f"{place}.{name}" if place else str(name), value)
                for name, value in inside(at)
                if isinstance(name, (str, int))
            ]
        level = inner


def _is_named_tensor(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor)


def _number_in(place: Mapping[Any, Any]) -> int:
    return sum(_is_named_tensor(name, value) for name, value in place.items())


def _count(place: Mapping[Any, Any]) -> str:
    number = _number_in(place)
    return f"{number:,} tensor{'s' if number != 1 else ''}"


def _described(value: Any) -> str:
    if isinstance(value, StandIn):
        return f"object of {value.kind}"
    if isinstance(value, torch.Tensor):
        return "tensor whose name is no text"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:_LONGEST_TEXT]
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, (str, list, tuple, Mapping)) else kind


def choose_optimizer(found: Any, key: str | None) -> Weights:
    """The state of an optimizer that is meant, taken apart into tensors and JSON.

    Args:
        found: What the file holds.
        key: Where it is; names and places in lists are joined by dots, and an empty one means the
            top. Left out: the only one.

    Raises:
        Refused: There is none, it is not clear which one is meant, or it holds what is no data.
    """
    places = dict(_optimizers(found))
    if not places:
        raise Refused('holds no state of an optimizer, which has "state" and "param_groups"')
    if key is None and len(places) > 1:
        ways = ", ".join(f"--optimizer '{place}'" for place in places)
        raise Refused(f"holds the states of several optimizers; choose one: {ways}")
    key = next(iter(places)) if key is None else key
    if key not in places:
        raise Refused(f'holds no state of an optimizer under "{key}"{near(key, places)}')
    try:
        data, tensors = encode(dict(places[key]))
        text = json.dumps(data)
    except CodecError as error:
        raise Refused(f"holds a state of an optimizer of which {error}") from None
    except (RecursionError, ValueError) as error:  # it holds itself, or a number of many digits
        raise Refused(f"holds a state that cannot be written down ({error})") from None
    return Weights(tensors, key, {}, {}, metadata={STATE: text})


def _optimizers(found: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """All states of optimizers, by where they are; each is yielded once."""

    def inside(at: Any) -> Iterable[tuple[Any, Any]]:
        if _is_state(at):
            return ()
        items = at.items() if isinstance(at, Mapping) else enumerate(at)
        return [(name, value) for name, value in items if isinstance(value, _NESTING)]

    for place, at in _nested(found, inside) if isinstance(found, _NESTING) else ():
        if _is_state(at):
            yield place, at


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and {"state", "param_groups"} <= value.keys()


def leave_out(weights: Weights, patterns: list[str]) -> None:
    """Leave out the tensors whose names match.

    Raises:
        Refused: One pattern matches none.
    """
    for pattern in patterns:
        matched = [name for name in weights.tensors if fnmatchcase(name, pattern)]
        if not matched:
            meant = near(pattern, weights.tensors)
            raise Refused(f'holds no tensor that --exclude "{pattern}" matches{meant}')
        weights.left_out |= dict.fromkeys(matched, "excluded")
        for name in matched:
            del weights.tensors[name]
    if not weights.tensors:
        raise Refused("has no tensor left")


# --- preparing ------------------------------------------------------------------------------------


def prepare(weights: Weights, most: int) -> None:
    """See that safetensors can hold what there is; tell what is shared, and what is copied.

    Raises:
        Refused: It cannot; or the result would have more than ``most`` bytes.
    """
    problems = [p for name, t in weights.tensors.items() if (p := _misfit(name, t)) is not None]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise Refused(
            f"holds what a safetensors file cannot: {'; '.join(problems[:5])}{more}. --exclude "
            "leaves tensors out"
        )
    weights.tensors = {
        name: tensor.detach().resolve_conj().resolve_neg()
        for name, tensor in weights.tensors.items()
    }
    size = sum(tensor.nbytes for tensor in weights.tensors.values())
    if size > most:
        raise Refused(
            f"is small, but its tensors, which share memory, would take {size:,} bytes in a "
            f"safetensors file, and {most:,} are written at most"
        )
    storages: dict[int, list[str]] = defaultdict(list)
    for name, tensor in weights.tensors.items():
        if tensor.nbytes:
            storages[tensor.untyped_storage().data_ptr()].append(name)
    weights.shared = [names for names in storages.values() if len(names) > 1]
    weights.copied = [n for n, t in weights.tensors.items() if not t.is_contiguous()]


def _misfit(name: str, tensor: torch.Tensor) -> str | None:
    """Why a tensor cannot be written; None where it can."""
    shown = f'"{name[:_LONGEST_TEXT]}"'
    if name == "__metadata__":
        return f"{shown}, a name that the format keeps for itself"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a name that is not text"
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"{shown} is of the class {type(tensor).__name__}"
    if tensor.layout != torch.strided:
        return f"{shown} is sparse"
    if tensor.is_quantized:
        return f"{shown} is quantized"
    if tensor.is_meta:
        return f"{shown} has no values (it is on the meta device)"
    if dtype_name(tensor.dtype) is None:
        return f"{shown} is of {str(tensor.dtype).removeprefix('torch.')}"
    return None


def dtype_name(dtype: torch.dtype) -> str | None:
    """What safetensors calls a dtype; None where it has none for it."""
    if dtype not in _DTYPES:
        try:
            data = safetensors.torch.save({"x": torch.empty(0, dtype=dtype)})
            _DTYPES[dtype] = json.loads(data[8:])["x"]["dtype"]
        except (KeyError, RuntimeError, ValueError, safetensors.SafetensorError):
            _DTYPES[dtype] = None
    return _DTYPES[dtype]


_DTYPES: dict[torch.dtype, str | None] = {}


# --- writing --------------------------------------------------------------------------------------


def write(weights: Weights, file: BinaryIO) -> None:
    """Write a safetensors file, tensor by tensor, so that none is in memory twice.

    The library writes to a path, which this process cannot open, or makes a whole copy first.
    """
    tensors = weights.tensors
    # As the library orders them: what has the widest numbers first, so that all are aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": weights.metadata} if weights.metadata else {}
    at = 0
    for name in names:
        tensor = tensors[name]
        header[name] = {
            "dtype": dtype_name(tensor.dtype),
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        numbers = tensors[name].contiguous().reshape(-1)
        # What has one number, or none, may have any stride by then.
        in_a_row = numbers.as_strided((numbers.numel(),), (1,))
        file.write(in_a_row.view(torch.uint8).numpy().data)
    file.flush()


# --- the process ----------------------------------------------------------------------------------


def convert(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert what standard input holds; what is to be told of it."""
    size = os.fstat(0).st_size
    most = max(GROWTH * size, LEAST_GROWTH)
    active = confine(
        memory=_MEMORY * size + _LEAST_MEMORY,
        file_size=most + size + LEAST_GROWTH,  # the names come on top
        seconds=_SECONDS + size // _BYTES_A_SECOND,
        readable=request["readable"],
    )
    with open(0, "rb", closefd=False) as file:
        found = unpickled(file, request["skips_objects"])
    if request["optimizer"] is False:
        weights = choose(found, request["key"])
        leave_out(weights, request["exclude"])
    else:
        weights = choose_optimizer(
            found, None if request["optimizer"] is True else request["optimizer"]
        )
    prepare(weights, most)
    with open(request["output"], "wb", closefd=False) as output:
        write(weights, output)
    return {
        "key": weights.key,
        "others": dict([*weights.others.items()][:MOST_LISTED]),
        "left_out": dict([*weights.left_out.items()][:MOST_LISTED]),
        "shared": [names[:MOST_LISTED] for names in weights.shared[:MOST_LISTED]],
        "copied": weights.copied[:MOST_LISTED],
        "confined_by": active,
    }


def main() -> None:
    """Read the request from the command line, and write what came of it to standard output."""
    request = json.loads(sys.argv[1])
    # Who interrupts the program interrupts this through it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(request["parent"])
    # A thread would be a process to the limits, and stand outside of some of them.
    torch.set_num_threads(1)
    dtype_name(torch.float32)
    try:
        outcome = convert(request)
    except Refused as error:
        outcome = {"refused": str(error)}
    except MemoryError:
        outcome = {"refused": "takes more memory than a file of its size should"}
    except OSError as error:
        outcome = {"not_written": error.errno}
    # Names may hold half a surrogate pair, which is no text; JSON escapes it.
    with open(1, "wb", closefd=False) as answer:
        answer.write(json.dumps(outcome).encode())
    # Nothing that was read is asked how it wants to end.
    os._exit(0)


if __name__ == "__main__":
    main()
