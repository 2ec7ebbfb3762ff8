"""What built-in converters, preprocessors and collators do, with NumPy alone.

The functions that a pipeline needs are copied beside its ``predict.py``; the tests run them in a
process without torch, and compare what comes out with ``infer``. The last argument of each is what
the JSON file beside the script says of it.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np


def image_file(text: str, said: Any) -> Any:
    """The pixels of an image file; reading one needs Pillow."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(text) as file:
            image = file.convert(said["mode"])
    except FileNotFoundError:
        raise ValueError(f"there is no file {text}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{text} is not an image that can be read") from None
    if said["size"] is not None:
        image = image.resize(said["size"][::-1], Image.Resampling.BILINEAR)
    return np.array(image.convert("L") if said["mode"] == "1" else image)


def images_in(text: str, said: Any) -> Any:
    """The image files of a folder; None where the text is no folder of them."""
    if said is None or said["does"] != "image_file" or not os.path.isdir(text):
        return None
    from PIL import Image

    kinds = tuple(end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN)
    names = [n for n in sorted(os.listdir(text)) if n.lower().endswith(kinds) and n[0] != "."]
    files = [path for name in names if os.path.isfile(path := os.path.join(text, name))]
    if not files:
        raise ValueError(f"the folder {text} holds no image file")
    return files


def json_value(text: str, said: Any) -> Any:
    """A value of JSON; lists of numbers are arrays."""

    def with_arrays(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_arrays(item) for key, item in value.items()}
        if not isinstance(value, list) or not value:
            return value
        if all(type(item) in (int, float) for item in value):
            return np.array(value, np.float32)
        items = [with_arrays(item) for item in value]
        shapes = {getattr(item, "shape", None) for item in items}
        return np.stack(items) if len(shapes) == 1 and None not in shapes else items

    try:
        return with_arrays(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"the input is not valid JSON: {error}") from None


def pixels(value: Any, said: Any) -> Any:
    """An image (H, W), (H, W, C) or, as floats, (C, H, W), as float32 (C, H, W)."""
    if not isinstance(value, np.ndarray) or value.ndim not in (2, 3):
        raise ValueError("an image is needed, of 2 or 3 dimensions")
    image = value[None] if value.ndim == 2 else value
    if image.dtype == np.uint8:
        image = image if value.ndim == 2 else image.transpose(2, 0, 1)
        return image.astype(np.float32) / np.float32(255)
    if image.dtype.kind != "f":
        raise ValueError(f"the values of an image are uint8 or floats, and not {image.dtype}")
    return image.astype(np.float32)


def image_normalizer(value: Any, said: Any) -> Any:
    """Pixels less the mean of their channel, by its standard deviation."""
    mean, scale = (np.array(said[key], np.float32)[:, None, None] for key in ("mean", "scale"))
    image = pixels(value, said)
    if len(image) != len(mean):
        raise ValueError(f"an image of {len(mean)} channels is needed, and found is {len(image)}")
    return (image - mean) / scale


def number_normalizer(value: Any, said: Any) -> Any:
    """Numbers less their mean, by their standard deviation."""
    numbers, mean = np.asarray(value, np.float64), np.array(said["mean"])
    if numbers.shape != mean.shape:
        raise ValueError(f"numbers of shape {mean.shape} are needed, and found are {numbers.shape}")
    return ((numbers - mean) / np.array(said["scale"])).astype(np.float32)


def text_tokenizer(value: Any, said: Any) -> Any:
    """The numbers of the words of a text."""
    words = (value.lower() if said["lowercase"] is True else value).split()
    known = {word: number for number, word in enumerate(said["words"])}
    return [1, *(known[w] if known.get(w, 0) > 3 else 3 for w in words), 2]


def categories(value: Any, said: Any) -> Any:
    """The number of a value."""
    if value not in said["values"]:
        raise ValueError(f'there is no value "{value}" among {said["values"]}')
    return said["values"].index(value)


def one_hot(value: Any, said: Any) -> Any:
    """Zeros, and a one in the place of a number."""
    return np.eye(said["num_classes"], dtype=np.float32)[value]


def best_class(outputs: Any, said: Any) -> Any:
    """The class with the highest score, by its name."""
    best = int(outputs[said["column"]].argmax())
    return best if said["names"] is None else said["names"][best]


def decoded_text(outputs: Any, said: Any) -> Any:
    """The words that numbers stand for, up to the end."""
    numbers = outputs[said["column"]].ravel().tolist()
    numbers = numbers[: numbers.index(2)] if 2 in numbers else numbers
    return " ".join(said["words"][number] for number in numbers if number > 1)


def grouped(texts: Any, ports: Any) -> Any:
    """The texts of each prediction, one for each port; a folder stands for the images in it."""
    if len(texts) % len(ports):
        names = ", ".join(port["port"] for port in ports)
        raise ValueError(f"one input is needed for each of {names}; found {len(texts)}")
    found = []
    for first in range(0, len(texts), len(ports)):
        group = texts[first : first + len(ports)]
        files = [
            images_in(text, port["converter"]) for text, port in zip(group, ports, strict=True)
        ]
        sizes = {len(inside) for inside in files if inside is not None} or {1}
        if len(sizes) > 1:
            raise ValueError("folders that are given together must hold as many files")
        columns = [
            [text] * max(sizes) if inside is None else inside
            for inside, text in zip(files, group, strict=True)
        ]
        found += [list(row) for row in zip(*columns, strict=True)]
    return found


def batch_of(texts: Any, said: Any, steps: Any) -> Any:
    """The arrays of a batch of one, made of a text for each port."""
    columns: Any = {}
    for text, port in zip(texts, said["ports"], strict=True):
        value = done(text, port["converter"], steps)
        example = value if isinstance(value, list) else [value]
        for layer in [*port["preprocessors"], port["collator"]]:
            layer = [*layer, *[None] * len(example)]
            example = [done(v, does, steps) for v, does in zip(example, layer, strict=False)]
        named = zip(port["columns"], example, strict=False)
        columns |= {(port["port"], name): value for name, value in named}
    arrays = {}
    for name, one in said["inputs"].items():
        if "column" in one and (one["port"], one["column"]) not in columns:
            raise ValueError(f'the input of {one["port"]} has no "{one["column"]}"')
        if "column" in one:
            arrays[name] = np.asarray(columns[one["port"], one["column"]])[None]
    return arrays


def lines_of(outputs: Any, said: Any, steps: Any) -> Any:
    """What there is to print of the outputs."""
    if said["postprocessor"] is not None:
        return [shown(done(outputs, said["postprocessor"], steps))]
    return [f"{name}: {shown(filled(form, outputs))}" for name, form in said["results"].items()]


def done(value: Any, said: Any, steps: Any) -> Any:
    """What a step makes of a value."""
    return value if said is None else steps[said["does"]](value, said)


def filled(form: Any, outputs: Any) -> Any:
    """A value with the outputs in the place of their names."""
    if isinstance(form, list):
        return [filled(item, outputs) for item in form]
    if isinstance(form, dict):
        return {key: filled(item, outputs) for key, item in form.items()}
    return None if form is None else outputs[form]


def labelled(label: str, lines: Any) -> Any:
    """What one of several predictions prints."""
    several = [f"{label}:", *(f"  {line}" for line in lines)]
    return [f"{label}: {lines[0]}"] if len(lines) == 1 else several


def shown(value: Any) -> str:
    """A value as ``infer`` prints it."""
    if isinstance(value, np.ndarray):
        if value.size <= 1000:
            return shown(value.tolist())
        low, high = shown(value.min().item()), shown(value.max().item())
        return f"tensor {value.shape} {value.dtype}, {low} to {high}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}": {shown(item)}' for key, item in value.items()) + "}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
