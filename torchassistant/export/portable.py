"""What built-in converters, preprocessors and collators do, with NumPy alone.

The functions that a pipeline needs are copied beside its ``predict.py``; the tests run them in a
process without torch, and compare what comes out with ``infer``. The last argument of each is what
the JSON file beside the script says of it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def image_file(text: str, said: Any) -> Any:
    """The pixels of an image file; reading one needs Pillow."""
    from PIL import Image

    image = Image.open(text).convert(said["mode"])
    if said["size"] is not None:
        image = image.resize(said["size"][::-1], Image.Resampling.BILINEAR)
    return np.array(image.convert("L") if said["mode"] == "1" else image)


def json_value(text: Any, said: Any) -> Any:
    """A value of JSON; lists of numbers are arrays."""
    value = json.loads(text) if isinstance(text, str) else text
    if not isinstance(value, list) or not value:
        return value
    if all(type(item) in (int, float) for item in value):
        return np.array(value, np.float32)
    items = [json_value(item, said) if isinstance(item, list) else item for item in value]
    shapes = {getattr(item, "shape", None) for item in items}
    return np.stack(items) if len(shapes) == 1 and None not in shapes else items


def pixels(value: Any, said: Any) -> Any:
    """An image (H, W), (H, W, C) or, as floats, (C, H, W), as float32 (C, H, W)."""
    image = value[None] if value.ndim == 2 else value
    if image.dtype == np.uint8:
        image = image if value.ndim == 2 else image.transpose(2, 0, 1)
        return image.astype(np.float32) / np.float32(255)
    return image.astype(np.float32)


def image_normalizer(value: Any, said: Any) -> Any:
    """Pixels less the mean of their channel, by its standard deviation."""
    mean, scale = (np.array(said[key], np.float32)[:, None, None] for key in ("mean", "scale"))
    return (pixels(value, said) - mean) / scale


def number_normalizer(value: Any, said: Any) -> Any:
    """Numbers less their mean, by their standard deviation."""
    numbers = np.asarray(value, np.float64) - np.array(said["mean"])
    return (numbers / np.array(said["scale"])).astype(np.float32)


def text_tokenizer(value: Any, said: Any) -> Any:
    """The numbers of the words of a text."""
    words = (value.lower() if said["lowercase"] is True else value).split()
    known = {word: number for number, word in enumerate(said["words"])}
    return [1, *(known[w] if known.get(w, 0) > 3 else 3 for w in words), 2]


def categories(value: Any, said: Any) -> Any:
    """The number of a value."""
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


def shown(value: Any) -> str:
    """A value as ``infer`` prints it."""
    if isinstance(value, np.ndarray):
        if value.size <= 1000:
            return shown(value.tolist())
        low, high = shown(value.min().item()), shown(value.max().item())
        return f"tensor {value.shape} {value.dtype}, {low} to {high}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
