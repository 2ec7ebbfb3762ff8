"""Goes through everything of the libraries that a config may name, for what should not be there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from torchassistant.build.importing import NotFound, find
from torchassistant.build.trust import LIBRARIES, Trust

DEPTH = 5
DANGEROUS = """
    eval exec compile open system popen run Popen load loads import_module __import__ remove unlink
    rmtree rmdir move urlopen urlretrieve load_state_dict_from_url load_url download_url
    download_and_extract_archive extract_archive from_pretrained load_library script trace save
    save_image write write_text mkdir makedirs symbolic_trace spawn
"""
"""Names that code which reads, runs, fetches, writes or deletes something has in it."""

REVIEWED = {
    # A module of torch with a fixed name.
    "interpolate": {"import_module"},
    "max_pool3d_with_indices": {"import_module"},
    "pad": {"import_module"},
    "get_weight": {"import_module"},
    # nn.Module.eval and list.remove.
    "non_intrusive_speech_quality_assessment": {"eval"},
    "NoTrainInceptionV3": {"eval"},
    "retrieve_out_channels": {"eval"},
    "quantize_model": {"eval"},
    "remove": {"remove"},
    "remove_spectral_norm": {"remove"},
    "remove_weight_norm": {"remove"},
    # An onnx session over weights that come from a fixed place; weights of the package itself.
    "deep_noise_suppression_mean_opinion_score": {"run"},
    "DISTSNetwork": {"load"},
}


def names_in(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(names_in, inner))


def functions_of(found: Any) -> Iterator[FunctionType]:
    """What runs when an object is called."""
    called = [inspect.unwrap(found)]
    if inspect.isclass(found):
        called = [vars(found).get(name) for name in ("__new__", "__init__")]
    for function in called:
        function = getattr(function, "__func__", function)
        if isinstance(function, FunctionType):
            yield function


class Walk:
    """Finds all that may be named, to a depth."""

    def __init__(self) -> None:
        self.trust = Trust()
        self.allowed: dict[int, tuple[str, Any]] = {}
        self.seen: set[int] = set()

    def go(self, path: str, holder: Any, depth: int) -> None:
        names = set(dir(holder))
        if isinstance(holder, ModuleType):
            names |= {info.name for info in pkgutil.iter_modules(vars(holder).get("__path__", []))}
        for name in sorted(names):
            if not name.startswith("_"):
                self.look_at(f"{path}.{name}", holder, name, depth)

    def look_at(self, path: str, holder: Any, name: str, depth: int) -> None:
        try:
            found = find(path, (), self.trust)
        except NotFound:
            found = None
        if found is not None:
            self.allowed.setdefault(id(found), (path, found))
        if not hasattr(holder, name) and self.trust.may_import(f"{holder.__name__}.{name}"):
            importlib.import_module(f"{holder.__name__}.{name}")
        below = getattr(holder, name, None)
        is_open = isinstance(below, ModuleType) and self.trust.may_look_into(below)
        if depth > 1 and (is_open or inspect.isclass(below)) and id(below) not in self.seen:
            self.seen.add(id(below))
            self.go(path, below, depth - 1)


@pytest.mark.slow
def test_nothing_that_is_allowed_reads_runs_fetches_or_deletes() -> None:
    """Beyond datasets, which read their data."""
    walk = Walk()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in LIBRARIES:
            walk.go(library, importlib.import_module(library), DEPTH)
    assert len(walk.allowed) > 2000
    suspicious = {}
    for path, found in walk.allowed.values():
        if inspect.isclass(found) and found.__module__.startswith("torchvision.datasets."):
            continue
        used = {name for function in functions_of(found) for name in names_in(function.__code__)}
        used &= set(DANGEROUS.split()) - REVIEWED.get(path.rpartition(".")[2], set())
        if used:
            suspicious[path] = used
    assert suspicious == {}
