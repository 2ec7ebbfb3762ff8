"""A small MNIST on a server of this machine, in the place of the real one.

A process with :func:`offered` in its environment finds its address, and the sums of its files,
where torchvision pins those of the real one.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
EXAMPLES = 12

_SITE = """
import importlib.abc, importlib.util, json, os, sys


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "torchvision.datasets.mnist":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def patched(module):
            run(module)
            offer = json.loads(os.environ["FAKE_MNIST"])
            module.MNIST.mirrors = [offer["address"]]
            module.MNIST.resources = [tuple(one) for one in offer["resources"]]

        spec.loader.exec_module = patched
        return spec


sys.meta_path.insert(0, Finder())
"""


class Server:
    """Serves the files of a folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.waits = threading.Event()
        self.waits.set()
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.waits.wait(30)
                super().do_GET()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        where = functools.partial(Handler, directory=str(folder))
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), where)
        self.http.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/"


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of a folder."""
    server = Server(folder)
    threading.Thread(target=server.http.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.waits.set()
        server.http.shutdown()
        server.http.server_close()


def write_archives(folder: Path) -> list[tuple[str, str]]:
    """Write the archives; the name and the MD5 sum of each."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in NAMES:
        shape = (EXAMPLES, 28, 28) if "images" in name else (EXAMPLES,)
        count = EXAMPLES * 28 * 28 if "images" in name else EXAMPLES
        head = struct.pack(f">{1 + len(shape)}I", 8 << 8 | len(shape), *shape)
        data = gzip.compress(head + bytes(index % 10 for index in range(count)), mtime=0)
        (folder / f"{name}-ubyte.gz").write_bytes(data)
        made.append((f"{name}-ubyte.gz", hashlib.md5(data).hexdigest()))
    return made


def offered(folder: Path, address: str, resources: list[tuple[str, str]]) -> dict[str, str]:
    """Variables by which a process takes this MNIST for the real one, if it imports from a folder.

    Args:
        folder: The folder.
        address: Of the server.
        resources: What :func:`write_archives` gave.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE)
    offer = {"address": address, "resources": resources}
    return {"FAKE_MNIST": json.dumps(offer)}
