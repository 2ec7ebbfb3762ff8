"""Files of torch.save, good ones and hostile ones, and the program that reads hostile ones."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from torchassistant.compat.confinement import confine
from torchassistant.conversion import pickle_process


def saved(value: Any, path: Path | io.BytesIO, zipped: bool = True) -> None:
    """Write a value as torch.save does, in its present format or in that before 2020."""
    torch.save(value, path, _use_new_zipfile_serialization=zipped)


class Calls:
    """A pickle of it calls a function when it is read in the usual way."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def hostile(mark: Path) -> dict[str, bytes]:
    """Pickles that would write ``mark``, or exhaust something, if a reader did as they say."""
    text = str(mark)
    calls = {
        "os.system": Calls(os.system, f"touch {text}"),
        "open": Calls(open, text, "w"),
        "eval": Calls(eval, f"open({text!r}, 'w')"),
        "exec": Calls(exec, f"open({text!r}, 'w')"),
        "socket": Calls(socket.create_connection, ("127.0.0.1", 9)),
        "import": Calls(__import__, "antigravity"),
        "rename": Calls(os.rename, sys.executable, text),
        "exit": Calls(os._exit, 0),
        "getattr": Calls(getattr, 1j, "real"),
    }
    files = {}
    for name, call in calls.items():
        files[f"{name}, beside weights"] = _bytes_of({"a": torch.zeros(2), "b": call}, True)
        files[f"{name}, old format"] = _bytes_of(call, False)
    raw = {
        "builtins.eval by name": b"\x80\x02cbuiltins\neval\nX\x05\x00\x00\x001 + 1\x85R.",
        "posix.system by name": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
        "deep lists": b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
        "deep tuples": b"\x80\x02)" + b"\x85" * 10**5 + b".",
        "a memo of its own multiples": _laughs(60),
        "a text of an exabyte": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"a.",
        "a bytearray of a terabyte": b"\x80\x02cbuiltins\nbytearray\n\x8a\x06"
        + (10**12).to_bytes(6, "little")
        + b"\x85R.",
        "a tensor of a terabyte": b"\x80\x02ctorch\nTensor\n\x8a\x06"
        + (10**12 // 4).to_bytes(6, "little")
        + b"\x85R.",
        "a memo at a high place": b"\x80\x02Nr\xff\xff\xff\xff.",
        "nothing but the end": b"\x80\x02.",
        "no end": b"\x80\x02N",
        "a protocol of its own": b"\x80\xff.",
        "persistent": b"\x80\x02Pid\n.",
    }
    for name, data in raw.items():
        files |= {name: _zipped({"data.pkl": data}), f"{name}, old format": _old(data)}
    size = 2**29
    files["deflated zeros"] = _zipped(
        {"data.pkl": _one_tensor(size), "data/0": bytes(size)}, zipfile.ZIP_DEFLATED
    )
    return files


def _bytes_of(value: Any, zipped: bool) -> bytes:
    file = io.BytesIO()
    saved(value, file, zipped)
    return file.getvalue()


def _laughs(levels: int) -> bytes:
    """A dictionary that holds itself twice, and so on: small, and endless for who walks it."""
    text = b"\x80\x02}X\x01\x00\x00\x00xK\x01sq\x00"
    for level in range(levels):
        inner = b"h" + bytes([level])
        text += b"}(X\x01\x00\x00\x00a" + inner + b"X\x01\x00\x00\x00b" + inner
        text += b"uq" + bytes([level + 1])
    return text + b"."


def _one_tensor(size: int) -> bytes:
    """A dictionary of one tensor, as torch writes it, whose values are in ``data/0``."""
    out = io.BytesIO()

    class Pickler(pickle._Pickler):
        def persistent_id(self, value: Any) -> Any:
            return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

    class Rebuilt:
        def __reduce__(self) -> Any:
            stored = ("storage", torch.ByteStorage, "0", "cpu", size)
            return torch._utils._rebuild_tensor_v2, (stored, 0, (size,), (1,), False, {})

    Pickler(out, protocol=2).dump({"a": Rebuilt()})
    return out.getvalue()


def _zipped(files: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how, compresslevel=1) as archive:
        for name, data in files.items():
            archive.writestr(f"archive/{name}", data)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
    return out.getvalue()


def _old(data: bytes) -> bytes:
    """The format before 2020: a magic number, a version, the machine, then the pickle."""
    magic = 0x1950A86A20F9469CFC6C
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    front = b"".join(pickle.dumps(part, 2) for part in (magic, 1001, system))
    return front + data + pickle.dumps([], 2)


def main(folder: str) -> None:
    """Read all files of a folder, in a process that is confined as that of ``convert``."""
    torch.set_num_threads(1)
    pickle_process.dtype_name(torch.float32)
    files = {path.name: open(path, "rb") for path in sorted(Path(folder).iterdir())}  # noqa: SIM115
    active = confine(2**28, 2**20, 300, [sys.prefix, sys.base_prefix, "/usr"])
    outcomes = {}
    for name, file in files.items():
        try:
            weights = pickle_process.choose(pickle_process.unpickled(file, False), None)
            pickle_process.prepare(weights, 2**26)
            outcomes[name] = f"read: {[*weights.tensors]}"
        except pickle_process.Refused as error:
            outcomes[name] = f"refused: {error}"
    print(json.dumps({"active": active, "outcomes": outcomes}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
