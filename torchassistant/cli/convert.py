"""The command ``convert``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence

from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import aligned, as_json, counted
from torchassistant.cli.streams import expect_output
from torchassistant.conversion import Converted, convert_config, convert_weights, is_config
from torchassistant.errors import UserError, in_one_line, shown_path
from torchassistant.sizes import size_text

_MOST_NAMED = 20


def convert(arguments: Namespace) -> int:
    """Turn a file of weights into a safetensors file, or a config into one of the other form."""
    expect_output()
    if is_config(arguments.source):
        return _convert_config(arguments)
    converted = convert_weights(
        arguments.source,
        arguments.target,
        key=arguments.key,
        exclude=arguments.exclude,
        optimizer=arguments.optimizer,
        skip_objects=arguments.skip_objects,
        replace=arguments.replace,
    )
    if arguments.json:
        print(as_json(_as_data(converted, arguments.target)))
    else:
        print("\n".join(_lines(converted, arguments.target)))
    return DONE


def _convert_config(arguments: Namespace) -> int:
    if arguments.key or arguments.exclude or arguments.skip_objects:
        raise UserError("--key, --exclude and --skip-objects are for weights, and this is a config")
    converted = convert_config(arguments.source, arguments.target, replace=arguments.replace)
    if arguments.json:
        print(as_json({"file": arguments.target, **converted._asdict()}))
        return DONE
    if converted.has_anchors:
        print("anchors and merge keys are written out: JSON has none")
    taken = counted(converted.comments, "line")
    print(in_one_line(f"{shown_path(arguments.target)}: written, with {taken} of comments"))
    return DONE


def _as_data(converted: Converted, target: str) -> dict[str, object]:
    tensors = {
        name: {"shape": list(tensor.shape), "dtype": tensor.dtype, "bytes": tensor.size}
        for name, tensor in converted.tensors.items()
    }
    return {
        "file": target,
        "bytes": converted.size,
        "tensors": tensors,
        "key": converted.key,
        "others": dict(converted.others),
        "left_out": dict(converted.left_out),
        "shared": [list(names) for names in converted.shared],
        "copied": list(converted.copied),
        "confined_by": list(converted.confined_by),
    }


def _lines(converted: Converted, target: str) -> Iterator[str]:
    tensors = converted.tensors
    rows = [("name", "shape", "dtype", "size")]
    rows += [(n, _shape(t.shape), t.dtype, size_text(t.size)) for n, t in tensors.items()]
    yield from aligned(rows)
    yield ""
    if converted.key:
        yield in_one_line(f"taken: {converted.key}")
    if converted.others:
        others = [f"{k or 'the top'} ({counted(n, 'tensor')})" for k, n in converted.others.items()]
        yield f"not taken (--key takes another): {_named(others)}"
    if converted.left_out:
        yield f"left out: {_named([f'{n} ({what})' for n, what in converted.left_out.items()])}"
    for names in converted.shared:
        yield f"shared memory, and has values of its own now, each: {_named(names)}"
    if converted.copied:
        yield f"laid out anew: {_named(converted.copied)}"
    said = f"{shown_path(target)}: {counted(len(tensors), 'tensor')}, {size_text(converted.size)}"
    yield in_one_line(said)
    yield in_one_line(_protection(converted.confined_by))


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a number"


def _named(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _MOST_NAMED else ""
    return in_one_line(", ".join(names[:_MOST_NAMED]) + more)


def _protection(ways: Sequence[str]) -> str:
    """What has kept the file from doing harm, had the unpickler had a flaw."""
    read = "read by torch's restricted unpickler, in a process of its own"
    if not ways:
        return f"{read}, which this system could not confine further"
    return f"{read}, confined by {', '.join(ways)}"
