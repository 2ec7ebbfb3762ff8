"""Everything of the libraries that a config may name has been reviewed, and is what was said."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics.text import ROUGEScore

from torchassistant.assembly import reviewed_callables
from torchassistant.assembly.allowlist import LIBRARIES, Allowlist
from torchassistant.assembly.downloads import refused_to
from torchassistant.assembly.importing import Refused, find
from torchassistant.assembly.origin import name_of
from torchassistant.assembly.reviewed_callables import (
    KINDS,
    LISTS,
    Verdict,
    reviewed_in,
    verdict_of,
)

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "reviewed.py"


@pytest.fixture(scope="module")
def reviewed() -> Any:
    """The script that keeps the lists."""
    location = importlib.util.spec_from_file_location("reviewed", SCRIPT)
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def installed(reviewed: Any) -> dict[str, Any]:
    """What the installed libraries have to be reviewed, by full name."""
    return {
        name: one for library in LIBRARIES for name, one in reviewed.to_be_reviewed(library).items()
    }


def test_everything_that_is_installed_has_been_judged(reviewed: Any, installed: Any) -> None:
    known = {name: verdict for one in LIBRARIES for name, verdict in reviewed_in(one).items()}
    assert len(installed) > 2900
    unreviewed = [
        name for name in installed if known.get(name, reviewed_callables.NEW).kind == "new"
    ]
    assert unreviewed == [], "run: python docs/reviewed.py, and review them by reading their code"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_list_is_sorted_and_means_something(library: str) -> None:
    lines = (LISTS / f"{library}.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split()[0] for line in lines]
    assert names == sorted(set(names))
    assert all(name.startswith(f"{library}.") for name in names)
    assert {verdict.kind for verdict in reviewed_in(library).values()} <= set(KINDS) - {"new"}
    assert all(len(line.split()) in (2, 3) for line in lines)


def test_an_argument_that_asks_is_one_that_the_callable_has(installed: Any) -> None:
    for name, found in installed.items():
        verdict = verdict_of(found)
        if verdict.argument is not None:
            parameters = inspect.signature(found).parameters
            kinds = {parameter.kind for parameter in parameters.values()}
            hands_on = inspect.Parameter.VAR_KEYWORD in kinds
            assert verdict.argument in parameters or hands_on, name


def test_each_is_judged_under_its_own_name(installed: Any) -> None:
    for name, found in installed.items():
        assert verdict_of(found) == reviewed_in(name.partition(".")[0])[name], name


# What code has names for in it


_DANGEROUS = """
    eval exec compile system popen Popen import_module __import__ unlink rmtree rmdir move urlopen
    urlretrieve load_state_dict_from_url load_url download download_url extract_archive
    download_and_extract_archive from_pretrained load_library script trace symbolic_trace spawn
    makedirs mkdir open write write_text save savefig to_csv tofile memmap pickle dumps loads hub
    requests nltk InferenceSession hf_hub_download ctypes Process Thread fork kill environ putenv
    chdir set_default_dtype set_default_device set_default_tensor_type set_num_threads manual_seed
    setrecursionlimit engine
"""
DANGEROUS = frozenset(_DANGEROUS.split())
"""Names that code which reads, runs, fetches, writes, or changes the process, has in it."""

REVIEWED = {
    # A module of torch with a fixed name, for what is compiled; a module of torchvision's models.
    "torch.nn.functional.interpolate": {"import_module"},
    "torch.nn.functional.max_pool3d_with_indices": {"import_module"},
    "torch.nn.functional.pad": {"import_module"},
    "torchvision.models._api.get_weight": {"import_module"},
    # Where a launcher of several processes says which this is.
    "torch.nn.parallel.distributed.DistributedDataParallel.__init__": {"environ"},
    # torch.trace of a matrix; nn.Module.eval; a generator's own seed.
    "torchmetrics.functional.classification.matthews_corrcoef._matthews_corrcoef_reduce": {"trace"},
    "torchvision.models.detection._utils.retrieve_out_channels": {"eval"},
    "torch.utils.data.distributed.DistributedSampler.__iter__": {"manual_seed"},
    "torch.utils.data.sampler.RandomSampler.__iter__": {"manual_seed"},
    "torchvision.datasets.samplers.clip_sampler.DistributedSampler.__iter__": {"manual_seed"},
    "torchvision.datasets.fakedata.FakeData.__getitem__": {"manual_seed"},
    # Threads of one step over several GPUs.
    "torch.nn.parallel.parallel_apply.parallel_apply": {"Thread"},
    # What pycocotools does with results, and a method that nothing here calls.
    "torchmetrics.detection.helpers._calculate_map_with_coco": {"eval"},
    "torchmetrics.detection.helpers.CocoBackend.tm_to_coco": {"open", "write", "dumps"},
    # Files of weights in the folder of the session, where no link is followed.
    "torchassistant.callbacks.model_checkpoint.ModelCheckpoint._clear": {"unlink"},
    "torchassistant.callbacks.model_checkpoint.ModelCheckpoint._keep": {"mkdir", "dumps"},
    "torchassistant.callbacks.own_folder.make_folder": {"mkdir"},
    "torchassistant.callbacks.samples.Samples.on_train_start": {"rmtree"},
    "torchassistant.callbacks.samples._lines": {"dumps"},
    "torchassistant.callbacks.samples._write": {"rmtree", "write_text"},
    "torchassistant.output_devices._as_png": {"save"},
    "torchassistant.whole_files.replacing": {"unlink"},
    "torchassistant.whole_files.sync_path": {"open"},
    # Text that the person gives as input.
    "torchassistant.input_converters.JsonValue.__call__": {"loads"},
}
NOT_FOLLOWED = (
    # Bases of all modules and metrics, and machinery of torch itself.
    *("torch.nn.modules.module", "torchmetrics.metric", "torchmetrics.utilities.plot"),
    *("torch._jit_internal", "torch.overrides", "torch._utils"),
    # A member of such an enum tells where weights are; only a builder reads them.
    *("torchvision.models._api.WeightsEnum", "torch.utils.data.dataloader"),
    "torch.utils.data.datapipes",
)


def code_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from code_in(const)


def functions_of(found: Any) -> list[FunctionType]:
    """What may run when an object is made and used, of the libraries' own code."""
    if isinstance(found, type):
        bases = [
            base for base in found.__mro__ if is_followed(f"{base.__module__}.{base.__name__}")
        ]
        members = [value for base in bases for value in vars(base).values()]
        kinds = (FunctionType, staticmethod, classmethod)
        return [one for value in members if isinstance(value, kinds) for one in functions_of(value)]
    function = getattr(found, "__func__", found)
    function = inspect.unwrap(function) if callable(function) else function
    return [function] if isinstance(function, FunctionType) else []


def is_followed(name: str) -> bool:
    within = any(name == one or name.startswith(f"{one}.") for one in NOT_FOLLOWED)
    return name.partition(".")[0] in LIBRARIES and not within


@cache
def looked_into(function: FunctionType) -> tuple[frozenset[str], tuple[FunctionType, ...]]:
    """The names in the code of a function, and the functions among them."""
    names = {name for code in code_in(function.__code__) for name in code.co_names}
    known = (function.__globals__[name] for name in names if name in function.__globals__)
    return frozenset(names), tuple(one for value in known for one in functions_of(value))


def test_nothing_that_is_plain_reads_runs_fetches_or_deletes(installed: Any) -> None:
    """Nor does what it calls, as far as the names in its code lead."""
    suspicious: dict[str, set[str]] = {}
    seen: set[FunctionType] = set()
    waiting = [
        function
        for found in installed.values()
        if verdict_of(found).kind == "plain"
        for function in functions_of(found)
    ]
    while waiting:
        function = waiting.pop()
        name = f"{function.__module__}.{function.__qualname__}"
        if function in seen or not is_followed(name):
            continue
        seen.add(function)
        names, called = looked_into(function)
        if used := (names & DANGEROUS) - REVIEWED.get(name, set()):
            suspicious[name] = used
        waiting += called
    assert suspicious == {}
    assert len(seen) > 3000


# What nobody has reviewed


@pytest.fixture
def without_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a new version of torch had just brought ``nn.Linear``."""
    known = {k: v for k, v in reviewed_in("torch").items() if not k.endswith(".Linear")}
    monkeypatch.setattr(reviewed_callables, "reviewed_in", lambda library: known)


NAME = "torch.nn.modules.linear.Linear"


@pytest.mark.usefixtures("without_linear")
@pytest.mark.parametrize("path", ["torch.nn.Linear", NAME])
def test_what_nobody_has_judged_is_refused_and_may_be_trusted(path: str) -> None:
    with pytest.raises(Refused) as caught:
        find(path, (), Allowlist())
    assert "has not been reviewed yet" in str(caught.value)
    assert f"--trust {NAME} " in str(caught.value)
    for trusted in (NAME, path, "torch.nn.modules.linear", "torch.nn"):
        if trusted != "torch.nn" or path == NAME:
            assert find(path, (), Allowlist([trusted])) is nn.Linear
    with pytest.raises(Refused):
        find(path, (), Allowlist(["torch.nn.Lin", "torch.nn.modules.linear.Line"]))


@pytest.mark.usefixtures("without_linear")
def test_a_short_name_that_nobody_has_judged_is_refused_as_well() -> None:
    with pytest.raises(Refused, match="has not been reviewed yet"):
        find("Linear", ("torch.nn",), Allowlist())


def test_what_has_moved_to_another_module_is_known_by_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {k: v for k, v in reviewed_in("torch").items() if not k.endswith(".Linear")}
    known["torch.nn.modules.older.Linear"] = Verdict("reads")
    monkeypatch.setattr(reviewed_callables, "reviewed_in", lambda library: known)
    assert verdict_of(nn.Linear).kind == "reads"
    # Only what the package offers is the same thing, and not whatever has its name.
    stranger = type("Linear", (nn.Module,), {"__module__": "torch.nn.modules.strange"})
    assert verdict_of(stranger).kind == "new"


def test_code_of_the_users_own_is_not_judged() -> None:
    class Mine(nn.Linear):
        pass

    assert verdict_of(Mine).kind == "plain"
    assert verdict_of(lambda: None).kind == "plain"


# Which calls ask


def takes(a: int, download: bool = False, tokens: str = "plain", feature: Any = 2048) -> None: ...


def hands_on(a: int, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(("kwargs", "asked"), [({}, False), ({"download": True}, True)])
def test_an_argument_may_be_handed_on(kwargs: dict[str, Any], asked: bool) -> None:
    assert Verdict("open", "download").is_asked_by(hands_on, [1], kwargs) is asked


@pytest.mark.parametrize(
    ("verdict", "args", "kwargs", "asked"),
    [
        (Verdict("open"), [1], {}, True),
        (Verdict("pinned", "download"), [1], {}, False),
        (Verdict("pinned", "download"), [1, True], {}, True),
        (Verdict("pinned", "download"), [1], {"download": 1}, True),
        (Verdict("pinned", "download"), [], {"nonsense": 1}, True),
        (Verdict("open", "tokens", ("far", "farther")), [1], {}, False),
        (Verdict("open", "tokens", ("far", "farther")), [1], {"tokens": "far"}, True),
        (Verdict("open", "tokens", ("far", "farther")), [1], {"tokens": ["x", "far"]}, True),
        (Verdict("open", "feature"), [1], {}, True),
        (Verdict("open", "feature"), [1], {"feature": nn.Identity()}, False),
    ],
)
def test_which_calls_ask(
    verdict: Verdict, args: list[Any], kwargs: dict[str, Any], asked: bool
) -> None:
    assert verdict.is_asked_by(takes, args, kwargs) is asked


def test_a_refusal_says_which_values_ask() -> None:
    said = refused_to(ROUGEScore, (), {}, Allowlist())
    assert said is not None and 'ROUGEScore with "rouge_keys" "rougeLsum" downloads' in said
    assert refused_to(ROUGEScore, (), {"rouge_keys": ("rouge1", "rougeL")}, Allowlist()) is None


def test_looking_up_imports_nothing() -> None:
    known = set(sys.modules)
    reviewed_in.cache_clear()
    assert verdict_of(torch.zeros).kind == "plain"
    assert name_of(torch.zeros) == "torch.zeros"
    assert set(sys.modules) == known
