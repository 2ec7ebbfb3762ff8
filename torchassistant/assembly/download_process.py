"""The process that fetches the data of one dataset of torchvision; run by :mod:`.downloads`.

It makes the dataset with ``download=True`` in a fresh folder, and can do nothing else: a hook of
Python's own refuses to write outside of that folder, to start a program, and to open any address
but of HTTP. What is fetched is held against the checksum that torchvision pins before anything of
it is unpacked. Nothing of the user's is imported, so this file stands alone: it is run as a script.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import socket
import stat
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

SILENCE = 60.0
"""Seconds that a server may say nothing."""

_CHUNK = 1 << 20
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.link": (1,),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.setxattr": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.utime": (0,),
}
"""What changes files, and which of its arguments name them."""

_STARTING = (
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile"),
    *("os.system", "pty.spawn", "subprocess.Popen"),
)


class Denied(PermissionError):
    """Something was not done; the message is a sentence for the user."""


@dataclass(slots=True)
class Fetch:
    """What is to be fetched.

    Args:
        module: Where the class of the dataset is.
        name: Its name.
        kwargs: Its arguments; plain data, and without the folder.
        aside: The fresh folder; nothing is written elsewhere. The dataset's root is ``data`` in it.
        data: The folder that the data is for. What lies there is read, where its sum is right.
        pinned: Whether everything that is fetched must be pinned by a checksum.
        path: Where modules are imported from.
        tried: Filled: each address that was asked, and what went wrong with it.
    """

    module: str
    name: str
    kwargs: dict[str, Any]
    aside: str
    data: str
    pinned: bool
    path: list[str]
    tried: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The folder that is given to the dataset."""
        return os.path.join(self.aside, "data")

    def run(self) -> None:
        """Make the dataset."""
        sys.path[:] = self.path
        made = getattr(import_module(self.module), self.name)
        self._watch_torchvision()
        # Otherwise tqdm makes a lock between processes for its bar.
        tqdm: Any = import_module("tqdm")
        tqdm.tqdm.set_lock(threading.RLock())
        tempfile.tempdir = os.environ["HOME"] = os.path.join(self.aside, "other")
        os.makedirs(tempfile.tempdir)
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
        socket.setdefaulttimeout(SILENCE)
        sys.addaudithook(self.watch)
        made(root=self.root, **self.kwargs)

    def watch(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuse what a fetch has no business with; called by Python for each event."""
        if event == "open":
            path, mode, flags = args
            writes = any(c in mode for c in "wax+") if mode else bool((flags or 0) & _WRITING)
            if writes and not isinstance(path, int):
                self._expect_inside(path, follows=True)
        elif event in _CHANGING:
            for index in _CHANGING[event]:
                self._expect_inside(args[index], follows=False)
        elif event in _STARTING and (self.pinned or event != "os.fork"):
            raise Denied("it would start a program, which is not allowed")
        elif event == "urllib.Request" and not str(args[0]).startswith(("http://", "https://")):
            raise Denied(f"it would open {args[0]}, and only HTTP addresses are allowed")

    def _expect_inside(self, path: Any, follows: bool) -> None:
        if isinstance(path, int) or path == os.devnull:
            return
        path = os.path.abspath(os.fsdecode(path))
        parent, name = os.path.split(path)
        real = os.path.realpath(path) if follows else os.path.join(os.path.realpath(parent), name)
        if not self._is_aside(real):
            there = real.startswith(self.data + os.sep)
            why = "is there already; move it away" if there else "is outside of the data's folder"
            raise Denied(f"it would write {real}, which {why}")

    def _is_aside(self, path: str) -> bool:
        return path == self.aside or path.startswith(self.aside + os.sep)

    def _watch_torchvision(self) -> None:
        """Put a look at the checksum before each function of torchvision that fetches."""
        utils = import_module("torchvision.datasets.utils")
        watched: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
            "check_integrity": self._looking,
            "download_url": self._fetching,
            "download_file_from_google_drive": self._fetching,
        }
        for name, around in watched.items():
            original = getattr(utils, name)
            replaced = around(original)
            for module in [*sys.modules.values()]:
                if getattr(module, "__name__", "").startswith("torchvision.datasets"):
                    for key, value in [*vars(module).items()]:
                        if value is original:
                            setattr(module, key, replaced)

    def _looking(self, check: Callable[..., bool]) -> Callable[..., bool]:
        """``check_integrity``, which finds what lies in the folder of the data too."""

        @functools.wraps(check)
        def look(fpath: Any, md5: str | None = None) -> bool:
            path = os.fspath(fpath)
            is_free = path.startswith(self.root + os.sep) and not os.path.lexists(path)
            if md5 is not None and is_free:
                own = self._own(path)
                if os.path.lexists(own):
                    _expect_sum(own, md5)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    os.symlink(os.path.realpath(own), path)
            return check(fpath, md5)

        return look

    def _fetching(self, fetch: Callable[..., None]) -> Callable[..., None]:
        """A function that downloads a file, and is only called where a checksum pins the file."""

        @functools.wraps(fetch)
        def download(
            url: str, root: Any, filename: Any = None, md5: str | None = None, *args: Any
        ) -> None:
            if md5 is None and self.pinned:
                raise Denied(f"no checksum pins {url}; --allow-download fetches it")
            try:
                fetch(url, root, filename, md5, *args)
            except Denied:
                raise
            except Exception as error:
                self.tried[url] = str(getattr(error, "reason", error))
                if "corrupted" in self.tried[url]:
                    self.tried[url] = (
                        f"the download does not have the MD5 sum that torchvision pins, {md5}"
                    )
                raise

        return download

    def _own(self, path: str) -> str:
        """The place in the folder of the data for a path in the fresh one."""
        return os.path.join(self.data, os.path.relpath(path, self.root))


def _expect_sum(path: str, md5: str) -> None:
    """Expect a file to be what torchvision pins.

    Raises:
        Denied: It is something else.
    """
    # A FIFO would block; so would it block whoever opens it after this.
    handle = os.open(os.path.realpath(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Denied(f"{path} is not a regular file; move it away")
        found = hashlib.md5(usedforsecurity=False)
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    if found.hexdigest() != md5:
        raise Denied(
            f"{path} does not have the MD5 sum that torchvision pins ({md5}; it has "
            f"{found.hexdigest()}), so it is not unpacked; move it away to fetch it again"
        )


def _outcome(fetch: Fetch) -> dict[str, Any]:
    try:
        fetch.run()
    except Denied as error:
        return {"denied": str(error)}
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, Denied):
                return {"denied": str(cause)}
            cause = cause.__context__ if cause.__cause__ is None else cause.__cause__
        if fetch.tried:
            return {"unreachable": fetch.tried}
        return {"raised": str(error) or type(error).__name__}
    return {}


def _end_with_parent() -> None:
    """End where the process that asked for this is gone."""
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Read what is to be fetched from standard input, and write what came of it."""
    sys.dont_write_bytecode = True
    # Who interrupts the program interrupts this through it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fetch = Fetch(**json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = os.dup(1)
    os.dup2(2, 1)
    outcome = json.dumps(_outcome(fetch))
    sys.stdout.flush()
    os.write(answer, outcome.encode())
    # Nothing that a module wants to do at its end is waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
