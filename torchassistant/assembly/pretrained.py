"""Weights that torchvision and timm read for a model, as weights only, and only the right ones.

They are left out where stored ones replace them, and where a dry run would have to download them.
The builders are called with all of their arguments: what they make of ``weights=`` is more than
numbers (how many classes, frozen batch norm, which layers learn, epsilons). Only the reading is
left out, at the one place through which each library reads.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse

import torch
from torch import nn

from torchassistant.assembly.downloads import Missing
from torchassistant.assembly.monkeypatch import replaced
from torchassistant.compat.weights import (
    READER,
    is_unpacked_when_read,
    reading_modules,
    timm_readers,
    weights_enum,
)
from torchassistant.errors import UserError
from torchassistant.files import InvalidFile, open_regular
from torchassistant.messages import logger_for

_log = logger_for(__name__)


class LeftOut:
    """Remembers, without keeping them alive, the tensors whose weights were not read."""

    def __init__(self) -> None:
        self.tensors: list[weakref.ref[torch.Tensor]] = []

    def add(self, made: Any) -> None:
        """Note a model that was made without its weights."""
        self.tensors += map(weakref.ref, _tensors_of(made))

    def is_missed_in(self, made: Any) -> bool:
        """Whether one of them is in use, and is no parameter or buffer of what was made.

        Its state is all that is put back, so the weights of such a tensor have to be read.
        """
        if not self.tensors:
            return False
        parts = [made, getattr(made, "function", None), *getattr(made, "parts", ())]
        restored = {id(tensor) for part in parts for tensor in _tensors_of(part)}
        alive = (ref() for ref in self.tensors)
        return any(tensor is not None and id(tensor) not in restored for tensor in alive)


def _tensors_of(made: Any) -> Iterator[torch.Tensor]:
    if isinstance(made, nn.Module):
        yield from made.parameters()
        yield from made.buffers()


def reads_weights(target: Any) -> bool:
    """Whether this is a function of torchvision or timm that may read weights."""
    home = str(getattr(target, "__module__", ""))
    return home.startswith("torchvision.models.") or reads_from_hubs(target)


def reads_from_hubs(target: Any) -> bool:
    """Whether this is a function of timm, which asks hubs for weights that nobody pins."""
    return str(getattr(target, "__module__", "")).partition(".")[0] == "timm"


def called_without_weights(
    target: Any, args: Sequence[Any], kwargs: dict[str, Any], left_out: LeftOut
) -> Any:
    """Call such a function; weights are not read.

    Args:
        target: For which :func:`reads_weights` is true.
        args: Its arguments by position.
        kwargs: Those by name.
        left_out: Gets what was made, where weights would have been read.
    """
    skipped: list[Any] = []
    with ExitStack() as stack:
        if target.__module__.startswith("torchvision."):
            stack.enter_context(_torchvision_reads_nothing(skipped))
        elif not _enter_timm_reads_nothing(stack, skipped):
            args, kwargs = _without_pretrained(target, args, kwargs, skipped)
        made = target(*args, **kwargs)
    if skipped:
        left_out.add(made)
    return made


@contextmanager
def _torchvision_reads_nothing(skipped: list[Any]) -> Iterator[None]:
    def get_state_dict(weights: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        skipped.append(weights)
        return {}

    with replaced(_reading_through(get_state_dict)):
        yield


def _reading_through(get_state_dict: Any) -> Iterator[tuple[Any, str, Any]]:
    """What is replaced, so that torchvision's models read through a function.

    Args:
        get_state_dict: Takes what ``WeightsEnum.get_state_dict`` takes; where it returns nothing,
            nothing is loaded.
    """
    weights = weights_enum()
    if weights is None:
        return
    load = nn.Module.load_state_dict

    def load_state_dict(module: nn.Module, state: Any, *args: Any, **kwargs: Any) -> Any:
        return load(module, state, *args, **kwargs) if len(state) else None

    yield weights, "get_state_dict", get_state_dict
    yield nn.Module, "load_state_dict", load_state_dict


@contextmanager
def read_as_weights(dry: bool, missing: list[str]) -> Iterator[None]:
    """Let torchvision and timm read weights only, whose sum is what their names say.

    Args:
        dry: Whether nothing is downloaded: models of torchvision are made without weights that are
            not in torch's cache.
        missing: Gets the addresses of such weights.
    """
    with ExitStack() as stack:
        stack.enter_context(
            replaced((module, READER, _load_dry if dry else _load) for module in reading_modules())
        )
        if dry:
            stack.enter_context(replaced([(torch.hub, "download_url_to_file", _refuse_download)]))
            stack.enter_context(replaced(_leaving_out(missing)))
        yield


def _leaving_out(missing: list[str]) -> Iterator[tuple[Any, str, Any]]:
    weights_class = weights_enum()
    if weights_class is None:
        return
    read = weights_class.get_state_dict

    def get_state_dict(weights: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return read(weights, *args, **kwargs)
        except Missing:
            missing.append(weights.url)
            return {}

    yield from _reading_through(get_state_dict)


_SUM_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")
_CHUNK = 1 << 20


def _refuse_download(url: str, *args: Any, **kwargs: Any) -> None:
    raise Missing(f"{url} is not there: init downloads it; check never does")


def _load(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """``torch.hub.load_state_dict_from_url``, which also looks at a file that is there already."""
    folder = model_dir or os.path.join(torch.hub.get_dir(), "checkpoints")
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    _fetch(url, path, progress)
    return torch.hub.load_state_dict_from_url(
        url, folder, map_location, progress, check_hash, name, weights_only=True
    )


def _fetch(url: str, path: str, progress: bool = True) -> None:
    """Download a file that is not there, and see that it has the sum that its name says."""
    pinned = _SUM_IN_NAME.search(os.path.basename(path))
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _log.info(f"downloading {url} to {path}")
        try:
            torch.hub.download_url_to_file(url, path, pinned and pinned[1], progress)
        except HTTPError as error:
            error.close()  # it is an answer, too, with a connection
            raise
    _expect_sound(path, pinned and pinned[1])


def is_pinned(url: str) -> bool:
    """Whether the last part of an address has the beginning of the file's sum."""
    return _SUM_IN_NAME.search(os.path.basename(urlparse(url).path)) is not None


def why_not_fetched(url: str, allow_download: bool) -> str | None:
    """Why a config may not have a file of weights downloaded; None where it may.

    Args:
        url: Where it is.
        allow_download: Whether what nobody pinned may be downloaded.
    """
    address = urlparse(url)
    if address.scheme not in ("http", "https") or not os.path.basename(address.path):
        return f"{url} is no address of a file that can be downloaded"
    if allow_download or is_pinned(url):
        return None
    return (
        f"no checksum pins {url}, so it is refused: the beginning of the file's SHA-256 sum in its "
        "name pins it, as in NAME-0123abcd.safetensors; --allow-download on the command line "
        "allows it"
    )


def fetched(url: str, allow_download: bool, dry: bool) -> str:
    """The path of a file of weights in torch's cache, where it is downloaded if it is not there.

    Args:
        url: Where it is.
        allow_download: Whether what nobody pinned may be downloaded.
        dry: Whether nothing may be downloaded.

    Raises:
        Missing: It is not there, and nothing may be downloaded.
        UserError: It may not be downloaded, cannot be had, or has another sum.
    """
    refused = why_not_fetched(url, allow_download)
    if refused is not None:
        raise UserError(refused)
    name = os.path.basename(urlparse(url).path)
    path = os.path.join(torch.hub.get_dir(), "checkpoints", name)
    if dry and not os.path.exists(path):
        _refuse_download(url)
    try:
        _fetch(url, path)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{url} cannot be downloaded: {error}") from None
    return path


def _load_dry(url: str, model_dir: str | None = None, *args: Any, **kwargs: Any) -> Any:
    """The same, of a file that is there."""
    folder = model_dir or os.path.join(torch.hub.get_dir(), "checkpoints")
    name = kwargs.get("file_name") or os.path.basename(urlparse(url).path)
    if not os.path.exists(os.path.join(folder, name)):
        _refuse_download(url)
    return _load(url, model_dir, *args, **kwargs)


def _expect_sound(path: str, pinned: str | None) -> None:
    """Expect a file of weights to be regular, and to have the sum that its name says.

    Raises:
        UserError: It has not.
    """
    found = hashlib.sha256()
    try:
        with open_regular(os.path.realpath(path)) as file:
            while pinned is not None and (chunk := file.read(_CHUNK)):
                found.update(chunk)
    except InvalidFile as error:
        raise UserError(f"the weights in {path} are not read: the file {error}") from None
    if pinned is not None and not found.hexdigest().startswith(pinned):
        raise UserError(
            f"the weights in {path} are not read: the file's SHA-256 sum begins with "
            f"{found.hexdigest()[: len(pinned)]}, which does not match its name; move it away to "
            "download it again"
        )
    if pinned is None and is_unpacked_when_read(path):
        raise UserError(f"the weights in {path} are not read: they would have to be unpacked")


def _enter_timm_reads_nothing(stack: ExitStack, skipped: list[Any]) -> bool:
    """Put aside timm's readers; whether it is a version that has them."""

    def skip(model: Any, *args: Any, **kwargs: Any) -> None:
        skipped.append(model)

    readers = timm_readers()
    if readers is None:
        return False
    stack.enter_context(replaced((module, name, skip) for module, name in readers))
    return True


def asking_no_hub(
    target: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments of a call that needs no weights: timm is not asked for any."""
    if not reads_from_hubs(target):
        return args, kwargs
    try:
        return _without_pretrained(target, args, kwargs, [])
    except TypeError:  # they do not fit
        return args, kwargs


def _without_pretrained(
    target: Any, args: Sequence[Any], kwargs: dict[str, Any], skipped: list[Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments without those that ask timm for weights."""
    bound = inspect.signature(target).bind(*args, **kwargs)
    for key, nothing in (("pretrained", False), ("checkpoint_path", "")):
        if kwargs.get(key) is not None:
            kwargs = {**kwargs, key: nothing}
        elif bound.arguments.get(key):
            bound.arguments[key] = nothing
            args = bound.args
        else:
            continue
        skipped.append(key)
    return args, kwargs
