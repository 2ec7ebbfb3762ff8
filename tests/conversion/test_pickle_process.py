"""What is read of files of torch.save, what is refused, and what is written of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pickles
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torchassistant.assembly import optimizer_state_in
from torchassistant.conversion.pickle_process import (
    Refused,
    Weights,
    choose,
    choose_optimizer,
    leave_out,
    prepare,
    unpickled,
    write,
)

DTYPES = [
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
]
NEWER = {*DTYPES[-5:]}
"""What torch itself cannot read from its format before 2020."""
SEVERAL = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def file_of(value: Any, zipped: bool = True) -> io.BytesIO:
    file = io.BytesIO()
    pickles.saved(value, file, zipped)
    file.seek(0)
    return file


def weights_of(value: Any, key: str | None = None, zipped: bool = True) -> Weights:
    weights = choose(unpickled(file_of(value, zipped), False), key)
    prepare(weights, 2**26)
    return weights


def written(weights: Weights) -> dict[str, torch.Tensor]:
    file = io.BytesIO()
    write(weights, file)
    return safetensors.torch.load(file.getvalue())


def refusal(value: Any, key: str | None = None) -> str:
    with pytest.raises(Refused) as error:
        weights_of(value, key)
    return str(error.value)


def is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether they agree in each bit."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    bits = [bytes(t.detach().contiguous().clone().untyped_storage()) for t in (one, other)]
    return bits[0] == bits[1]


@st.composite
def tensors(draw: Any) -> torch.Tensor:
    """Tensors of all dtypes, and views of them: transposed, with gaps, expanded, empty."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    count = torch.Size(shape).numel() * dtype.itemsize
    data = bytearray(draw(st.binary(min_size=count, max_size=count)))
    if dtype == torch.bool:
        data = bytearray(byte & 1 for byte in data)
    flat = torch.frombuffer(data, dtype=dtype) if count else torch.empty(0, dtype=dtype)
    tensor = flat.reshape(shape)
    if draw(st.booleans()) and tensor.dim() >= 2:
        tensor = tensor.transpose(0, 1)
    if draw(st.booleans()) and tensor.dim() and tensor.shape[0] > 1:
        tensor = tensor[1:]
    if draw(st.booleans()) and tensor.dim():
        tensor = tensor[::2]
    return tensor


@SEVERAL
@given(st.dictionaries(st.text(min_size=1, max_size=8), tensors(), min_size=1), st.booleans())
def test_every_bit_arrives(state: dict[str, torch.Tensor], zipped: bool) -> None:
    zipped = zipped or any(tensor.dtype in NEWER for tensor in state.values())
    try:
        weights = weights_of(state, zipped=zipped)
    except Refused as error:
        assert "a name that is not text" in str(error) or "__metadata__" in str(error)
        return
    result = written(weights)
    assert result.keys() == state.keys()
    for name, tensor in state.items():
        assert is_same(result[name], tensor), name


@SEVERAL
@given(st.data(), st.booleans())
def test_a_cut_file_is_read_or_refused(data: st.DataObject, zipped: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    whole = file_of(model.state_dict(), zipped).getvalue()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(Refused):
        unpickled(io.BytesIO(cut), False)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_model_arrives(zipped: bool) -> None:
    model = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.PReLU()))
    weights = weights_of(model.state_dict(), zipped=zipped)
    assert weights.tensors.keys() == {"module.0.weight", "module.0.bias", "module.1.weight"}
    for name, tensor in written(weights).items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_a_checkpoint_of_lightning() -> None:
    state = torch.nn.Linear(2, 2).state_dict()
    checkpoint = {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict((f"model.{name}", value) for name, value in state.items()),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 0.1},
    }
    weights = weights_of(checkpoint)
    assert [*weights.tensors] == ["model.weight", "model.bias"]
    assert weights.key == "state_dict"
    assert weights.others == {"callbacks.ModelCheckpoint": 1}
    assert weights.left_out["hyper_parameters"] == "dict of 1"
    assert weights.left_out["epoch"] == "3"
    assert "state_dict" not in weights.left_out


def test_the_only_dictionary_is_taken() -> None:
    weights = weights_of({"net": {"a": torch.ones(1), "steps": 3}, "optimizer": {"state": {}}})
    assert (weights.key, [*weights.tensors]) == ("net", ["a"])
    assert weights.left_out == {"steps": "3", "optimizer": "dict of 1"}


def test_which_dictionary_is_meant_is_asked() -> None:
    value = {"model": {"a": torch.ones(1)}, "ema": {"b": torch.ones(1), "c": torch.ones(1)}}
    told = refusal(value)
    assert "--key 'model' (1 tensor), --key 'ema' (2 tensors)" in told
    assert [*weights_of(value, "ema").tensors] == ["b", "c"]
    assert 'did you mean "model"?' in refusal(value, "modle")
    beside = {"loss": torch.zeros(()), "model": {"net": {"a": torch.ones(1)}}}
    assert "--key '' (1 tensor), --key 'model.net' (1 tensor)" in refusal(beside)
    assert [*weights_of(beside, "").tensors] == ["loss"]
    assert [*weights_of(beside, "model.net").tensors] == ["a"]


def test_what_is_shared_gets_values_of_its_own() -> None:
    tied = torch.arange(6.0).reshape(2, 3)
    weights = weights_of({"in": tied, "out": tied, "row": tied[1], "turned": tied.T, "b": tied + 1})
    assert weights.shared == [["in", "out", "row", "turned"]]
    assert weights.copied == ["turned"]
    result = written(weights)
    assert torch.equal(result["out"], tied)
    assert torch.equal(result["row"], tied[1])
    assert torch.equal(result["turned"], tied.T)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_format_cannot_hold_is_named() -> None:
    value = {
        "wide": torch.zeros(2, dtype=torch.complex128),
        "sparse": torch.eye(2).to_sparse(),
        "none": torch.empty(2, device="meta"),
        "fine": torch.ones(1),
    }
    told = refusal(value)
    for part in ('"wide" is of complex128', '"sparse" is sparse', '"none" has no values', "--excl"):
        assert part in told
    assert "fine" not in told
    weights = choose(unpickled(file_of(value), False), None)
    leave_out(weights, ["[wsn]*"])
    prepare(weights, 100)
    assert [*weights.tensors] == ["fine"]
    assert weights.left_out["sparse"] == "excluded"
    with pytest.raises(Refused, match='"fina" matches; did you mean "fine"'):
        leave_out(weights, ["fina"])


def test_a_number_that_claims_to_be_many_is_refused() -> None:
    weights = choose(unpickled(file_of({"a": torch.zeros(1).expand(10**12)}), False), None)
    with pytest.raises(Refused, match="is small, but its tensors"):
        prepare(weights, 2**26)


class Net(torch.nn.Module):
    """A module that only its own code can make."""


class Settings:
    """An object beside weights."""

    def __init__(self) -> None:
        self.lr = 0.1


def test_a_pickled_module_is_refused_with_advice() -> None:
    told = refusal(Net())
    assert "a whole object of" in told
    assert "Net" in told
    assert "torch.save(model.state_dict(), FILE)" in told


def test_objects_beside_weights_are_left_out_when_asked() -> None:
    value = {"state_dict": {"a": torch.ones(1)}, "hyper_parameters": Settings(), "at": Path("x")}
    told = refusal(value)
    assert "Settings" in told
    assert "--skip-objects" in told
    weights = choose(unpickled(file_of(value), True), None)
    assert weights.left_out["hyper_parameters"].startswith("object of ")
    assert [*weights.tensors] == ["a"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torchscript_archive_is_refused_with_advice() -> None:
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), file)
    file.seek(0)
    with pytest.raises(Refused, match=r"TorchScript archive.*torch\.jit\.load\(FILE\)"):
        unpickled(file, False)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "is empty"),
        (safetensors.torch.save({"a": torch.ones(1)}), "is a safetensors file already"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (b"PK\x03\x04" + bytes(100), "is damaged, or holds no weights"),
        (b"GIF89a" + bytes(100), "is damaged, or holds no weights"),
        (b"\x80\x02]q\x00(K\x01K\x02e.", "is damaged, or holds no weights"),
    ],
)
def test_other_files_are_called_what_they_are(data: bytes, part: str) -> None:
    with pytest.raises(Refused, match=part):
        unpickled(io.BytesIO(data), False)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (torch.ones(2), "holds no dictionary of tensors, but tensor"),
        ([torch.ones(2)], "but list of 1"),
        ({"epoch": 3, "loss": 0.5}, 'holds no dictionary of tensors; it has "epoch", "loss"'),
        ({"__metadata__": torch.ones(1)}, "a name that the format keeps for itself"),
    ],
)
def test_what_has_no_weights_by_name_is_refused(value: Any, part: str) -> None:
    assert part in refusal(value)


def test_no_hostile_pickle_does_anything(tmp_path: Path) -> None:
    folder, mark = tmp_path / "pickles", tmp_path / "mark"
    folder.mkdir()
    files = pickles.hostile(mark)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, pickles.__file__, str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)["outcomes"]
    assert outcomes.keys() == files.keys()
    assert not mark.exists()
    for name, outcome in outcomes.items():
        assert outcome.startswith("refused: "), (name, outcome)
        assert "weights_only" not in outcome
    for name in ("os.system", "eval", "exec", "exit", "rename", "import"):
        assert "Nothing of it was run" in outcomes[f"{name}, beside weights"]


# The state of an optimizer


def optimizer_of(value: Any, path: Path, key: str | None = None) -> Any:
    """What a session reads of what is converted."""
    weights = choose_optimizer(unpickled(file_of(value), False), key)
    prepare(weights, 2**26)
    with path.open("wb") as file:
        write(weights, file)
    return optimizer_state_in(path)


OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "AdamW": {"amsgrad": True, "betas": (0.8, 0.95), "eps": float("inf")},
    "Adafactor": {},
    "LBFGS": {"max_iter": 2},
    "Rprop": {"etas": (0.5, 1.2)},
    "Adagrad": {},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_state_of_an_optimizer_stays_what_it_is(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    groups = list(net.parameters())
    if kind != "LBFGS":
        groups = [{"params": groups[:1], "lr": 0.1}, {"params": groups[1:]}]
    optimizer = getattr(torch.optim, kind)(groups, **OPTIMIZERS[kind])

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = net(torch.ones(4, 3)).square().sum()
        found.backward()
        return found

    for _ in range(2):
        optimizer.step(loss)
    wanted = optimizer.state_dict()
    found = optimizer_of({"optimizers": [wanted]}, tmp_path / "a.safetensors")
    assert same(found, wanted)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor)
            and one.dtype == other.dtype
            and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return [*one] == [*other] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


ADAM = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"params": [0], "lr": 0.1}]}


def test_which_state_of_an_optimizer(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert same(optimizer_of(ADAM, path), ADAM)
    assert same(optimizer_of(ADAM, path, ""), ADAM)
    two = {"optimizer_states": [ADAM, {**ADAM, "param_groups": []}], "state_dict": {}}
    assert optimizer_of(two, path, "optimizer_states.1")["param_groups"] == []
    with pytest.raises(
        Refused,
        match=r"--optimizer 'optimizer_states\.0', --optimizer 'optimizer_states\.1'",
    ):
        optimizer_of(two, path)
    with pytest.raises(Refused, match=r'under "optimizer_states\.2"; did you mean'):
        optimizer_of(two, path, "optimizer_states.2")
    for nothing in ({"a": torch.zeros(2)}, [torch.zeros(2)], torch.zeros(2), 3):
        with pytest.raises(Refused, match="holds no state of an optimizer"):
            optimizer_of(nothing, path)


def around() -> Any:
    circle: Any = {"state": {}, "param_groups": []}
    circle["state"][0] = circle
    return circle


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({0: {"kind": torch.float16}}, "state.0.kind is a torch.dtype, which cannot be stored"),
        (around()["state"], "cannot be written down"),
        ({0: {"most": torch.zeros(1).expand(10**12)}}, "are written at most"),
    ],
)
def test_a_state_that_is_no_data_is_refused(tmp_path: Path, state: Any, told: str) -> None:
    with pytest.raises(Refused, match=told):
        optimizer_of({"state": state, "param_groups": []}, tmp_path / "a.safetensors")


def test_objects_in_a_state_are_named(tmp_path: Path) -> None:
    hostile = {"state": {0: {"of": pickles.Calls(Path)}}, "param_groups": []}
    weights = unpickled(file_of(hostile), True)
    with pytest.raises(Refused, match=r"state\.0\.of is a pathlib\.Path"):
        choose_optimizer(weights, None)
