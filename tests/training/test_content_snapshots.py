"""What tensors, arrays, buffers and files hold is put back, or it is told that it cannot be."""

from __future__ import annotations

import array
import ctypes
import io

import numpy as np
import torch

from torchassistant.training.content_snapshots import (
    array_as_it_is,
    array_watched,
    buffer_as_it_is,
    can_be_noted,
    file_as_it_is,
    tensor_as_it_is,
)


def test_a_tensor_is_put_back() -> None:
    tensor = torch.arange(4.0, requires_grad=True)
    tensor.sum().backward()
    gradient = tensor.grad
    put = tensor_as_it_is(tensor, is_copied=True)
    with torch.no_grad():
        tensor.zero_()
    tensor.grad = None
    tensor.requires_grad_(False)
    assert put() is None
    assert tensor.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert tensor.requires_grad
    assert tensor.grad is gradient


def test_of_a_large_tensor_it_is_told_whether_it_was_changed() -> None:
    tensor = torch.zeros(4)
    put = tensor_as_it_is(tensor, is_copied=False)
    assert put() is None
    tensor.add_(1)
    assert put() == "was changed in place, and is large"
    assert not can_be_noted(torch.empty(2, device="meta"))


def test_an_array_is_put_back() -> None:
    values = np.arange(3)
    put, changed = array_as_it_is(values), array_watched(values)
    values[0] = 7
    assert changed() is not None
    assert put() is None
    assert values.tolist() == [0, 1, 2]
    assert changed() is None


def test_bytes_are_put_back() -> None:
    for held in (bytearray(b"abc"), array.array("b", b"abc"), (ctypes.c_char * 3)(*b"abc")):
        put = buffer_as_it_is(held)
        memoryview(held).cast("B")[0] = 0
        assert put() is None
        assert bytes(held) == b"abc"


def test_a_file_in_memory_is_put_back() -> None:
    file = io.BytesIO(b"one line")
    file.seek(4)
    put = file_as_it_is(file)
    file.write(b"text and more")
    assert put() is None
    assert (file.tell(), file.getvalue()) == (4, b"one line")
    file.close()
    assert put() == "is a file that was closed"
