"""What is to be written into a folder: gathered by one thread, written by another.

Where processes share models, each of them adds the same, and of shared tensors its own rows. These
it writes aside, and the first process moves them into the folder that it writes, as
``parts/RANK-of-SIZE``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from torchassistant.codec import CodecError, decode, encode
from torchassistant.errors import SessionError
from torchassistant.files import InvalidFile
from torchassistant.parallel import is_shared, own_rows
from torchassistant.session.files.durable_files import (
    Take,
    as_json,
    as_json_lines,
    as_safetensors,
    fingerprint,
    read_json,
    read_rows,
    read_tensors,
    write_new,
    write_tensors,
)
from torchassistant.whole_files import own_memory, sync_path


class CheckpointBundle:
    """Files by their path below a folder.

    What is added may change after :meth:`take_copies` or :meth:`write_aside`.

    Attributes:
        rows: Of shared tensors the own rows, by file as they are below the folder of a part.
        asides: Where tensors have been written already: those, and large ones.
        failure: Why that could not be done; None where all has been.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, dict[str, torch.Tensor]] = {}
        self.states: dict[str, Any] = {}
        self.rows: dict[str, dict[str, torch.Tensor]] = {}
        self.data: dict[str, Any] = {}
        self.asides: list[Path] = []
        self.failure: Exception | None = None

    @property
    def tensor_bytes(self) -> int:
        """What the tensors hold, in bytes."""
        return sum(t.nbytes for tensors in self.tensors.values() for t in tensors.values())

    def add_tensors(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Tensors by name, as ``NAME.safetensors``.

        Raises:
            SessionError: One is of a kind that such a file does not hold.
        """
        for key, tensor in tensors.items():
            if is_lazy(tensor):
                raise SessionError(
                    f'the tensor "{key}" of {name} has no shape yet, as its layer is lazy: the '
                    "preflight gives it one"
                )
            if tensor.layout is not torch.strided or tensor.dtype is torch.complex128:
                kind = f"{tensor.layout} {tensor.dtype}".replace("torch.", "")
                raise SessionError(f'the tensor "{key}" of {name} is {kind}, which is not stored')
        rows = {key: own_rows(one) for key, one in tensors.items() if is_shared(one)}
        whole = {key: tensor for key, tensor in tensors.items() if key not in rows}
        self.tensors[f"{name}.safetensors"] = whole
        if rows:
            self.rows[f"{name}.safetensors"] = rows

    def add_state(self, name: str, state: Any, what: str) -> None:
        """A state as ``NAME.json`` and, if it holds tensors, ``NAME.safetensors``.

        Raises:
            SessionError: It holds something that is neither data nor a tensor.
        """
        try:
            data, tensors = encode(state)
        except CodecError as error:
            raise SessionError(f"the state of {what} cannot be stored: {error}") from None
        self.states[f"{name}.json"] = data
        if tensors:
            self.add_tensors(name, tensors)

    def add_json(self, name: str, data: Any) -> None:
        """Plain data that nobody changes, as ``NAME``."""
        self.data[name] = data

    def write_rows(self, folder: Path, rank: int, size: int) -> None:
        """Write the own rows into a folder that is aside.

        Args:
            folder: An empty one.
            rank: Whose rows they are.
            size: By how many processes tensors are shared.
        """
        for name, rows in self.rows.items():
            path = folder / part_folder(rank, size) / name
            write_tensors(path, rows)
            sync_path(path)

    def take_copies(self) -> None:
        """Hold copies of all tensors."""
        self.tensors = {name: own_memory(tensors) for name, tensors in self.tensors.items()}

    def write_aside(self, folder: Path) -> None:
        """Write all tensors into a folder that is aside, file by file, and hold them no longer.

        The system writes them to the disk when it likes; whoever moves them waits for that.
        """
        while self.tensors:
            name, tensors = self.tensors.popitem()
            write_tensors(folder / name, tensors)
        self.asides.append(folder)

    def discard(self) -> None:
        """Remove what is still aside."""
        for aside in self.asides:
            shutil.rmtree(aside, ignore_errors=True)

    def write(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Write everything into a folder that is aside.

        Returns:
            The fingerprint of each file, by its path below the folder.

        Raises:
            Exception: It could not be written, now or aside, or not by another process.
        """
        if self.failure is not None:
            raise self.failure
        aside = dict(self._aside())
        names = (*self.data, *self.states, *self.tensors, *aside)
        for parent in {Path(name).parent for name in names}:
            (folder / parent).mkdir(parents=True, exist_ok=True)
        found = {name: write_new(folder / name, data) for name, data in self._small()}
        for name, tensors in self.tensors.items():
            if name not in found:
                write_tensors(folder / name, tensors)
                found[name] = fingerprint(folder / name)
        for name, path in aside.items():
            path.replace(folder / name)
            found[name] = fingerprint(folder / name)
        return dict(sorted(found.items()))

    def _small(self) -> Iterator[tuple[str, bytes]]:
        """What files hold that are written from memory, by their names."""
        for name, data in self.data.items():
            yield name, as_json(data)
        for name, data in self.states.items():
            yield name, as_json_lines(data)
        for name, tensors in self.tensors.items():
            if sum(tensor.nbytes for tensor in tensors.values()) <= _SMALL:
                yield name, as_safetensors(tensors)

    def _aside(self) -> Iterator[tuple[str, Path]]:
        """What has been written aside, by its place."""
        for folder in self.asides:
            for path in folder.rglob("*.safetensors"):
                yield path.relative_to(folder).as_posix(), path


_SMALL = 2**20
"""Bytes of tensors, at most, for which one more copy costs less than to read their file again."""


def part_folder(rank: int, size: int) -> str:
    """Where the rows stand that a process has of shared tensors."""
    return f"{_PARTS}/{rank}-of-{size}"


_PARTS = "parts"
_PART = re.compile(_PARTS + r"/(0|[1-9][0-9]*)-of-([1-9][0-9]*)/(.+)")


def files_of_parts(name: str, files: Iterable[str]) -> list[str]:
    """Those of some files that hold the rows of shared tensors, in their order.

    Args:
        name: The file of the tensors that are not shared.
        files: All that there are, by path.

    Raises:
        InvalidFile: One is missing, or does not belong there.
    """
    found = {}
    for file in files:
        part = _PART.fullmatch(file)
        if part is not None and part[3] == name:
            found[int(part[1])] = int(part[2]), file
    if found and (
        set(found) != set(range(len(found))) or {len(found)} != {n for n, _ in found.values()}
    ):
        raise InvalidFile("is not whole: rows of its tensors are missing")
    return [found[rank][1] for rank in sorted(found)]


def read_state(
    folder: Path,
    name: str,
    files: Collection[str] | None = None,
    device: torch.device | None = None,
    take: Take | None = None,
) -> Any:
    """The state that was added under a name.

    Args:
        folder: Where it was written.
        name: Its name.
        files: What was written there; left out: what there is of it, of nothing that is shared.
        device: Where tensors belong that were on a device; left out: in the memory of the host.
        take: See :func:`read_tensors`.

    Raises:
        OSError: It cannot be read.
        InvalidFile: It is none.
    """
    file = f"{name}.safetensors"
    if files is None:
        files = [file] if (folder / file).exists() else []
    tensors = read_shared(folder, file, files, take) if file in files else {}
    try:
        return decode(read_json(folder / f"{name}.json"), tensors, device)
    except CodecError as error:
        raise InvalidFile(str(error)) from None


def read_shared(
    folder: Path, name: str, files: Collection[str], take: Take | None = None
) -> dict[str, torch.Tensor]:
    """The tensors that were added to a file, those whose rows are in parts too.

    Args:
        folder: Where they were written.
        name: The file.
        files: What was written there.
        take: See :func:`read_tensors`.

    Raises:
        OSError: They cannot be read.
        InvalidFile: They are none.
    """
    parts = [folder / part for part in files_of_parts(name, files)]
    tensors = read_tensors(folder / name, take)
    return tensors | read_rows(parts, take) if parts else tensors
