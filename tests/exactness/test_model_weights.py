"""Models that begin with weights from elsewhere, beside loops written by hand."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from exact_configs import Config, layer, layers, made, node, one_model
from exact_runs import Runs
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import mse_loss
from weight_parts import Numbered, Tied, Tower

from torchassistant import create_session, load_session
from torchassistant.cli import main
from torchassistant.cli.tables import preflight_lines
from torchassistant.errors import ConfigError, SessionError
from torchassistant.session import Draft, Session, SessionFolder

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the weights lie, which configs name from here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "exact_parts weight_parts")
    return tmp_path


def tower(seed: int = 3, **arguments: int) -> Tower:
    """One whose running statistics are no zeros and ones either."""
    torch.manual_seed(seed)
    model = Tower(**arguments)
    model(torch.randn(9, 4))
    return model


def saved(state: State, name: str = "weights.safetensors") -> str:
    """A file of weights in the working folder."""
    Path(name).parent.mkdir(exist_ok=True)
    save_file({key: value.contiguous().clone() for key, value in state.items()}, name)
    return name


def config(weights: Any, **arguments: int) -> Config:
    """A regression whose model begins with weights."""
    net = {**made("weight_parts.Tower", **arguments), "weights": weights}
    return one_model({"models": {"net": net}})


def created(weights: Any, name: str = "run", **arguments: int) -> Session:
    return create_session(config(weights, **arguments), session_dir=name)


def problems(weights: Any, **arguments: int) -> str:
    with pytest.raises(ConfigError) as caught:
        created(weights, **arguments)
    assert not Path("run").exists()
    return "\n".join(str(problem) for problem in caught.value.problems)


def net_of(session: Session) -> State:
    return session.models["net"].state_dict()


def assert_same(state: State, expected: State, but: tuple[str, ...] = ()) -> None:
    assert state.keys() == expected.keys()
    wrong = [name for name in state if not torch.equal(state[name], expected[name])]
    assert wrong == [*but]


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


HEAD = ("head.weight", "head.bias")


# They are read once


def test_training_begins_with_them_and_the_file_is_never_needed_again(folder: Path) -> None:
    by_hand = tower()
    file = saved(by_hand.state_dict())
    session = create_session(config({"from": file}), session_dir="run")
    assert_same(net_of(session), by_hand.state_dict())
    first = next((folder / "run" / "checkpoints").iterdir()) / "models" / "net.safetensors"
    assert first.exists()
    Path(file).unlink()
    again = load_session("run")
    assert_same(net_of(again), by_hand.state_dict())
    descent = torch.optim.SGD(by_hand.parameters(), lr=0.05)
    data = again.datasets["points"]
    again.train()
    size = again.spec.group("loader_factories")["batches"].kwargs["batch_size"]
    for _ in range(2):
        for start in range(0, len(data), size):
            rows = range(start, min(start + size, len(data)))
            x, y = (torch.stack([data[i][k] for i in rows]) for k in (0, 1))
            descent.zero_grad()
            mse_loss(by_hand(x), y).backward()
            descent.step()
    assert_same(net_of(again), by_hand.state_dict())


def test_a_run_that_is_cut_ends_the_same(folder: Path) -> None:
    file = saved(tower().state_dict())
    runs = Runs(config({"from": file}), folder)
    Path(file).unlink()
    runs.check_cuts([2])


def test_a_change_of_them_is_free(folder: Path) -> None:
    created({"from": saved(tower().state_dict())})
    setting = 'net.weights={"from": "other.safetensors"}'
    again = load_session("run", settings=[setting])
    assert_same(net_of(again), tower().state_dict())
    again.train()


def test_other_definitions_are_made_as_without_them() -> None:
    plain = one_model({"models": {"net": made("weight_parts.Tower")}})
    without = create_session(plain, session_dir="without")
    weights = {"from": saved(tower().state_dict()), "include": ["head.*"]}
    state = net_of(created(weights))
    assert_same(state, net_of(without), but=HEAD)


# Which of them


def test_a_base_an_overridden_part_and_one_layer_of_it() -> None:
    base, other, third = tower(1), tower(2), tower(4)
    sources = [
        {"from": saved(base.state_dict(), "base.safetensors")},
        {"from": saved(other.head.state_dict(), "head.safetensors"), "into": "head"},
        {"from": saved(third.state_dict(), "third.safetensors"), "include": ["head.bias"]},
    ]
    session = created(sources)
    expected = base.state_dict() | prefixed(other.head.state_dict(), "head.")
    assert_same(net_of(session), expected | {"head.bias": third.head.bias})
    report = session.weights["net"]
    assert {row.source for row in report.taken} == {one["from"] for one in sources}
    assert [row.why for row in report.left_out if row.source == "head.safetensors"] == [
        "third.safetensors has it too, and wins"
    ]


TORCHOK = {
    "a merge": (
        [{"from": "base", "exclude": ["head.*"]}, {"from": "head2", "into": "head"}],
        3,
        5,
        7,
    ),
    "a merge, in order": ([{"from": "base"}, {"from": "head2", "into": "head"}], 3, 5, 7),
    "a key directly": (
        [
            {"from": "base"},
            {"from": "head2", "into": "head"},
            {"from": "head3", "into": "head"},
        ],
        *(3, 10, 7),
    ),
    "a key excluded": (
        [
            {"from": "base", "exclude": ["head.linear.3"]},
            {"from": "head2", "into": "head", "exclude": ["head.linear.3"]},
            {"from": "head3", "into": "head", "include": ["head.linear.2"]},
        ],
        *(3, 10, 0),
    ),
    "absolute keys": ([{"from": "base"}, {"from": "absolute", "include": ["head.*"]}], 3, 5, 7),
}


@pytest.mark.parametrize("case", TORCHOK)
def test_the_examples_of_torchoks_load_checkpoint(case: str) -> None:
    head = {"linear.1": 3, "linear.2": 5, "linear.3": 7}
    files = {
        "base": dict.fromkeys(Numbered().state_dict(), 1),
        "head2": head,
        "head3": {"linear.2": 10},
        "absolute": {**prefixed(head, "head."), "backbone.linear.1": 9},
    }
    for name, numbers in files.items():
        saved({n: torch.tensor(float(v)) for n, v in numbers.items()}, f"{name}.safetensors")
    sources, *wanted = TORCHOK[case]
    weights = [{**one, "from": f"{one['from']}.safetensors"} for one in sources]
    net = {**made("weight_parts.Numbered"), "weights": weights}
    state = net_of(create_session(one_model({"models": {"net": net}}), "run", preflight=False))
    assert [value.item() for value in state.values()] == [1, 1, *wanted]


@pytest.mark.parametrize("strict", [True, False])
def test_what_is_excluded_stays_as_the_class_made_it(strict: bool) -> None:
    plain = one_model({"models": {"net": made("weight_parts.Tower")}})
    fresh = net_of(create_session(plain, session_dir="without"))
    weights = {"from": saved(tower().state_dict()), "exclude": ["head.*"], "strict": strict}
    session = created(weights)
    assert_same(net_of(session), tower().state_dict(), but=HEAD)
    assert_same({n: net_of(session)[n] for n in HEAD}, {n: fresh[n] for n in HEAD})
    assert [row.name for row in session.weights["net"].missing] == [*HEAD]
    assert [row.shape for row in session.weights["net"].left_out] == [(1, 6), (1,)]


@pytest.mark.parametrize(
    ("prefix", "pattern"),
    [("module.", r"^module\."), ("state_dict.model.", r"^state_dict\.model\.")],
)
def test_prefixes_of_others_are_taken_away(prefix: str, pattern: str) -> None:
    file = saved(prefixed(tower().state_dict(), prefix))
    session = created({"from": file, "rename": [[pattern, ""]]})
    assert_same(net_of(session), tower().state_dict())


def test_a_word_too_many_or_too_few_is_told() -> None:
    file = saved(prefixed(tower().state_dict(), "module."))
    assert '"rename": [["^module\\\\.", ""]]' in problems({"from": file})
    file = saved(tower().backbone.state_dict())
    assert '"into": "backbone"' in problems({"from": file})
    file = saved(prefixed(tower().head.state_dict(), "head."))
    assert '"include": ["head.*"]' in problems({"from": file, "into": "head"})


def test_two_renamings_go_one_after_another() -> None:
    state = {name.replace("head", "fc"): value for name, value in tower().state_dict().items()}
    file = saved(prefixed(state, "model."))
    session = created({"from": file, "rename": [[r"^model\.", ""], [r"^(f)(c)\.", "head."]]})
    assert_same(net_of(session), tower().state_dict())


def test_another_dtype_is_converted() -> None:
    half = {name: value.half() for name, value in tower().state_dict().items()}
    session = created({"from": saved(half)})
    assert_same(net_of(session), {n: h.to(net_of(session)[n].dtype) for n, h in half.items()})


def test_whole_numbers_are_no_weights() -> None:
    state = tower().state_dict()
    state["head.weight"] = torch.ones(1, 6, dtype=torch.int8)
    assert 'whole numbers for "head.weight"' in problems({"from": saved(state)})
    assert problems({"factory_fn": "weight_parts.counted"}).count("whole numbers") == 1


def test_complex_numbers_are_no_weights() -> None:
    state = {name: value.to(torch.complex64) for name, value in tower().state_dict().items()}
    told = problems({"from": saved(state)})
    assert 'has complex numbers for "backbone.0.bias"' in told
    assert "quantized" not in told


def test_names_of_files_that_cannot_be() -> None:
    file = saved(tower().state_dict())
    Path("model.safetensors.index.json").write_text('{"weight_map": {"a": "a\\u0000.safetensors"}}')
    for weights in ({"from": "a\0.safetensors"}, {"from": "."}, {"from": "session:a\0"}):
        assert "null byte" in problems(weights)
    Path("model.safetensors.index.json").write_text("{")
    assert "model.safetensors.index.json is not valid JSON" in problems({"from": "."})
    assert Path(file).exists()


def test_layers_whose_sizes_are_not_known_get_them() -> None:
    torch.manual_seed(1)
    state = torch.nn.Sequential(torch.nn.Linear(4, 1)).state_dict()
    net = {**layers(layer("LazyLinear", 1)), "weights": {"from": saved(state)}}
    assert_same(net_of(create_session(one_model({"models": {"net": net}}), "run")), state)


def test_init_tells_what_was_taken(capsys: pytest.CaptureFixture[str]) -> None:
    weights = {"from": saved(tower().state_dict()), "exclude": ["head.*"]}
    Path("config.json").write_text(json.dumps(config(weights)))
    assert main(["init", "config.json", "--no-preflight"], prog="init.py") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'weights of "net": taken: 7 tensors of weights.safetensors'
    assert lines[1].endswith("(as the config says): head.weight (1, 6), head.bias (1,)")
    assert lines[2].startswith('weights of "net": missing: 2 tensors (the config asks for none): ')
    stored = json.loads(Path("sessions/config/static/weights/net.json").read_text())
    assert stored["said"] == lines[:3]
    assert stored["tensors"][0] == {
        "name": "backbone.0.weight",
        "outcome": "taken",
        "source": "weights.safetensors",
        "name_there": "backbone.0.weight",
        "shape": [6, 4],
        "shape_here": [6, 4],
        "why": "",
    }
    for only in (None, ["models"]):
        session = load_session("sessions/config", only=only)
        assert session.weights["net"].lines() == lines[:3]
    command = ["init", "config.json", "--no-preflight", "--json", "--replace", "config"]
    assert main(command, prog="init.py") == 0
    assert json.loads(capsys.readouterr().out)["weights"] == {"net": stored}


def test_a_table_of_weights_that_somebody_made_up_is_a_problem() -> None:
    created({"from": saved(tower().state_dict())})
    folder = SessionFolder("run")
    checkpoint = folder.verified()
    for data in ([], {"tensors": [{}]}, {"tensors": [["net"]]}):
        Path("run/static/weights/net.json").write_text(json.dumps(data))
        with pytest.raises(SessionError, match="holds no table of weights"):
            folder.taken_weights(checkpoint)


def test_a_model_that_is_added_later_has_its_table_too() -> None:
    session = create_session(one_model({}), session_dir="run")
    session.train()
    assert session.weights == {}
    spec = {**made("weight_parts.Tower"), "weights": {"from": saved(tower().state_dict())}}
    added = json.dumps({"group": "models", "name": "other", "spec": spec})
    place = f"initialize.definitions[{len(session.spec.initialize.definitions)}]={added}"
    more = 'train.stages[1]={"training_pipelines": ["fit"], "stop_condition": {"class": '
    more += '"EpochsCompleted", "kwargs": {"num_epochs": 1}}}'
    later = load_session("run", settings=[place, more])
    table = later.weights["other"]
    assert len(table.taken) == len(later.models["other"].state_dict())
    later.train()
    Path("weights.safetensors").unlink()
    assert load_session("run").weights == {"other": table}


def test_tied_weights_are_there_once() -> None:
    torch.manual_seed(1)
    state = {n: v for n, v in Tied().state_dict().items() if n != "last.weight"}
    net = {**made("weight_parts.Tied"), "weights": {"from": saved(state)}}
    session = create_session(one_model({"models": {"net": net}}), "run", preflight=False)
    assert torch.equal(net_of(session)["last.weight"], state["first.weight"])
    assert session.weights["net"].missing == []


# What does not fit


def test_another_shape_is_a_problem_with_both() -> None:
    file = saved(tower(outputs=5).state_dict())
    told = problems({"from": file})
    assert "head.weight (5, 6) in place of (1, 6), head.bias (5,) in place of (1,)" in told
    assert '"exclude"' in told and '"factory_fn"' in told
    session = created({"from": file, "strict": False})
    assert [row.name for row in session.weights["net"].other_shape] == [*HEAD]
    assert_same(
        {n: v for n, v in net_of(session).items() if n not in HEAD},
        {n: v for n, v in tower(outputs=5).state_dict().items() if n not in HEAD},
    )


def test_what_is_missing_or_unknown_is_told_with_its_shape() -> None:
    state = tower().state_dict()
    del state["head.bias"]
    state["neck.weight"] = torch.zeros(2, 3)
    file = saved(state)
    told = problems({"from": file})
    assert "nothing gives head.bias (1,)" in told
    assert "the model does not have neck.weight (2, 3) of weights.safetensors" in told
    report = created({"from": file, "strict": False}).weights["net"]
    assert [(row.name, row.shape) for row in report.left_out] == [("neck.weight", (2, 3))]
    assert [(row.name, row.shape_here) for row in report.missing] == [("head.bias", (1,))]
    assert 'weights of "net": taken: 8 tensors of weights.safetensors\n' in str(report)
    assert "left out: 1 tensor of weights.safetensors (the model has no such name)" in str(report)


@pytest.mark.parametrize("told", ["{", "[1]", '{"net": 1}', "[" * 9999])
def test_a_file_that_says_nonsense_of_its_models_is_a_problem(told: str) -> None:
    save_file(tower().state_dict(), "weights.safetensors", {"models": told})
    assert "weights.safetensors" in problems({"from": "weights.safetensors"})


WRONG = {
    "a pattern to rename": ({"rename": [["^modul_", ""]]}, "no name in weights.safetensors"),
    "a regular expression": ({"rename": [["(", ""]]}, "is not a regular expression"),
    "a replacement": ({"rename": [["a", r"\2"]]}, "cannot replace"),
    "one that makes two the same": ({"rename": [[r"\d", ""]]}, "would both be"),
    "a pattern to include": ({"include": ["hed.*"]}, 'matches "hed.*"'),
    "a pattern to exclude": ({"exclude": ["head.weigth"]}, 'did you mean "head.weight"'),
    "a path": ({"into": "haed"}, 'has no part "haed"; did you mean "head"'),
    "a checkpoint of a file": ({"checkpoint": "best"}, 'belongs to "from": "session:PATH"'),
    "a model of a file": ({"model": "net"}, "does not say what models it has"),
    "arguments of a file": ({"args": [1]}, 'belongs to "class" or "factory_fn"'),
    "two sources in one": ({"factory_fn": "weight_parts.nothing"}, "only one of"),
    "a name twice": ({"exclude": ["a", "a"]}, "is named twice"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_effect_is_a_problem(case: str) -> None:
    more, message = WRONG[case]
    assert message in problems({"from": saved(tower().state_dict()), **more})


def test_patterns_are_looked_at_before_anything_is_built() -> None:
    weights = {"from": saved(tower().state_dict()), "include": ["hed.*"]}
    with pytest.raises(ConfigError, match=r'matches "hed\.\*"'):
        Draft(config(weights), dry=True)
    report = Draft(config({**weights, "include": ["head.*"]}), dry=True).preflight()
    assert 'weights of "net": taken: 2 tensors of weights.safetensors' in preflight_lines(report)
    with pytest.raises(ConfigError, match=r'did you mean "weights\.safetensors"'):
        Draft(config({"from": "wieghts.safetensors"}), dry=True)


# Files


def test_a_folder_of_transformers() -> None:
    state = tower().state_dict()
    saved(state, "model/model.safetensors")
    assert_same(net_of(created({"from": "model"})), state)


def sharded(index: Any) -> str:
    names = list(tower().state_dict())
    for number, part in enumerate((names[:3], names[3:]), 1):
        saved({n: tower().state_dict()[n] for n in part}, f"model/model-{number}.safetensors")
    Path("model/model.safetensors.index.json").write_text(json.dumps(index))
    return "model"


def index_of(**more: str) -> Config:
    names = list(tower().state_dict())
    homes = {n: f"model-{1 if n in names[:3] else 2}.safetensors" for n in names}
    return {"metadata": {}, "weight_map": {**homes, **more}}


def test_a_folder_of_several_files() -> None:
    session = created({"from": sharded(index_of())})
    assert_same(net_of(session), tower().state_dict())


BAD_INDICES: dict[str, tuple[Any, str]] = {
    "a list": ([], 'has no "weight_map"'),
    "a path out of it": (index_of(x="../model-1.safetensors"), "is no .safetensors file beside it"),
    "a pickle": (index_of(x="model.bin"), "is no .safetensors file beside it"),
    "a file that is not there": (index_of(x="model-3.safetensors"), "which is not there"),
    "a tensor that is not there": (index_of(x="model-1.safetensors"), 'does not have "x"'),
}


@pytest.mark.parametrize("case", BAD_INDICES)
def test_an_index_that_is_wrong_is_a_problem(case: str) -> None:
    index, message = BAD_INDICES[case]
    assert message in problems({"from": sharded(index)})


def test_torchvisions_models_begin_with_their_own_weights() -> None:
    torch.manual_seed(5)
    state = torchvision.models.squeezenet1_1().state_dict()
    net = {
        **made("torchvision.models.squeezenet1_1", num_classes=3),
        "weights": {"from": saved(state), "exclude": ["classifier.1.*"]},
    }
    session = create_session(one_model({"models": {"net": net}}), "run", preflight=False)
    own = net_of(session)
    assert all(torch.equal(own[n], state[n]) for n in own if not n.startswith("classifier"))
    net["weights"] = {"from": "weights.safetensors"}
    with pytest.raises(ConfigError, match=r"classifier.1.weight \(1000, 512, 1, 1\) in place of"):
        create_session(one_model({"models": {"net": net}}), "other", preflight=False)


def header(text: bytes, length: int | None = None, after: bytes = b"") -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text + after


HUGE = b'{"head.weight":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,4]}}'
HOSTILE = {
    "empty": b"",
    "seven bytes": b"1234567",
    "a header longer than the file": header(b"{}", 1 << 20),
    "a header of an exabyte": header(b"{}", 1 << 60),
    "a header that is no JSON": header(b"{" * 64),
    "deep JSON": header(b"[" * 100_000),
    "no tensors": header(b'{"a": 1}'),
    "a shape that overflows": header(HUGE % (1 << 62, 1 << 62), after=b"1234"),
    "a shape larger than its bytes": header(HUGE % (1000, 1000), after=b"1234"),
    "a pickle": b"\x80\x04\x95" + bytes(100),
    "tensors over each other": header(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
        after=bytes(12),
    ),
    "a hole between tensors": header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', after=bytes(8)
    ),
    "a name twice": header(
        b'{"head.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"head.bias":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        after=bytes(8),
    ),
    "metadata that is no text": header(
        b'{"__metadata__":{"a":NaN},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        after=bytes(4),
    ),
    "a dtype that nobody knows": header(
        b'{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', after=bytes(4)
    ),
    "offsets that run backwards": header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', after=bytes(4)
    ),
    "a negative size": header(
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', after=bytes(4)
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_a_problem(case: str) -> None:
    Path("weights.safetensors").write_bytes(HOSTILE[case])
    assert "is not a whole .safetensors file" in problems({"from": "weights.safetensors"})


def test_a_file_that_was_cut_is_a_problem() -> None:
    file = Path(saved(tower().state_dict()))
    file.write_bytes(file.read_bytes()[:-5])
    assert "is not a whole .safetensors file" in problems({"from": str(file)})


@pytest.mark.parametrize("name", ["weights.pth", "lightning.ckpt", "pytorch_model.bin"])
def test_a_pickle_is_not_read(name: str) -> None:
    Path(name).write_bytes(b"cos\nsystem\n.")
    safe = Path(name).with_suffix(".safetensors")
    assert f'"torchassistant convert {name} {safe}"' in problems({"from": name})


def test_other_formats_are_for_a_function() -> None:
    Path("weights.h5").write_bytes(b"")
    assert 'one of Keras; a "factory_fn" can read it' in problems({"from": "weights.h5"})


# Addresses


def cached(state: State, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a file that is in torch's cache, with its sum in the name."""
    monkeypatch.setenv("TORCH_HOME", str(Path.cwd()))
    file = Path(saved(state))
    name = f"net-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.safetensors"
    folder = Path("hub", "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    file.rename(folder / name)
    return f"https://nowhere.example/{name}"


def test_a_file_with_its_sum_in_its_name_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    url = cached(tower().state_dict(), monkeypatch)
    assert_same(net_of(created({"from": url})), tower().state_dict())
    (file,) = Path("hub", "checkpoints").iterdir()
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"x")
    assert "does not match its name" in told_of({"from": url})
    file.unlink()
    load_session("run")
    report = Draft(config({"from": url}), dry=True).preflight()
    assert any("init downloads it" in str(warning) for warning in report.warnings)

    def download(address: str, path: str, *arguments: Any) -> None:
        assert address == url
        Path(path).write_bytes(data)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert_same(net_of(created({"from": url}, name="other")), tower().state_dict())


def pinned(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a pickle that is in torch's cache, with its sum in the name."""
    monkeypatch.setenv("TORCH_HOME", str(Path.cwd()))
    folder = Path("hub", "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    vars(torch)["save"](checkpoint, folder / "new")
    digest = hashlib.sha256((folder / "new").read_bytes()).hexdigest()
    (folder / "new").rename(folder / f"net-{digest[:8]}.pth")
    return f"https://nowhere.example/net-{digest[:8]}.pth"


class Harmful:
    """Is left behind where a file is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def test_a_pickle_is_read_where_its_sum_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    state = tower().state_dict()
    checkpoint = {"epoch": 3, "state_dict": prefixed(state, "module.")}
    url = pinned(checkpoint, monkeypatch)
    weights = {"from": url, "rename": [["^module\\.", ""]]}
    assert_same(net_of(created(weights)), state)
    (file,) = Path("hub", "checkpoints").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert "does not match its name" in told_of(weights)
    assert "Nothing of it was run" in told_of({"from": pinned([Harmful()], monkeypatch)})
    two = {"one": dict(state), "two": dict(state)}
    told = told_of({"from": pinned(two, monkeypatch)})
    assert "--key 'one'" in told
    assert 'NEW.safetensors" has these options' in told
    assert not Path("ran").exists()


def test_an_address_that_nobody_pinned_is_refused() -> None:
    with pytest.raises(ConfigError, match="no checksum pins"):
        Draft(config({"from": "https://nowhere.example/net.safetensors"}), dry=True)
    with pytest.raises(ConfigError, match="no address of a file"):
        Draft(config({"from": "file:///net-0123abcd.safetensors"}), dry=True)


# Functions


def test_a_function_gives_them_once() -> None:
    file = saved(tower().state_dict())
    session = created({"factory_fn": "weight_parts.halved", "args": [file]})
    state = tower().state_dict()
    assert_same(
        net_of(session), {n: v / 2 if v.is_floating_point() else v for n, v in state.items()}
    )
    Path(file).unlink()
    load_session("run").train()
    assert Path("called").read_text() == "False\n"


def test_a_function_fits_a_head() -> None:
    file = saved(tower().state_dict())
    weights = {"factory_fn": "weight_parts.widened", "args": [file], "kwargs": {"outputs": 3}}
    net = {**made("weight_parts.Tower", outputs=3), "weights": weights}
    session = create_session(one_model({"models": {"net": net}}), "run", preflight=False)
    assert torch.equal(net_of(session)["head.bias"], tower().head.bias.repeat(3))


def test_what_a_function_gives_is_looked_at() -> None:
    told = problems({"factory_fn": "weight_parts.nothing"})
    assert "must give a state dict; it gave a list" in told
    told = problems({"factory_fn": "weight_parts.nested"})
    assert "must give tensors by name; 'state_dict' is a dict" in told


# Sessions


def test_a_session_begins_with_the_weights_of_another() -> None:
    first = created({"from": saved(tower().state_dict())}, name="first")
    first.train()
    session = created({"from": "session:first"})
    assert_same(net_of(session), net_of(first))
    step = first.progress.step
    again = created({"from": "session:first", "checkpoint": str(step // 2)}, name="half")
    assert not torch.equal(net_of(again)["head.bias"], net_of(first)["head.bias"])
    model = {"from": "session:first", "model": "nets"}
    assert 'no model is named "nets" in first; did you mean "net"' in told_of(model)
    assert "there is no checkpoint" in told_of({"from": "session:first", "checkpoint": "7777"})
    assert "is a session" in told_of({"from": "first"})
    assert "nowhere does not exist" in told_of({"from": "session:nowhere"})


def told_of(weights: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        created(weights, name="another")
    return "\n".join(str(problem) for problem in caught.value.problems)


def test_a_session_is_not_made_from_itself() -> None:
    created({"from": saved(tower().state_dict())})
    replacing = config({"from": "session:run"}) | {"session_dir": "run"}
    with pytest.raises(ConfigError, match="run is this session itself"):
        create_session(replacing, replace="run")


def test_a_part_of_a_model_of_another_session() -> None:
    create_session(with_another("body", {"part_of": "net", "path": "backbone"}), "first")
    session = created({"from": "session:first", "model": "body", "into": "backbone"})
    first = load_session("first").models["body"].state_dict()
    assert_same({n: net_of(session)[f"backbone.{n}"] for n in first}, first)


def with_another(name: str, model: Config) -> Config:
    """The regression, with one more model."""
    models = {"net": made("weight_parts.Tower"), name: model}
    graph = {"neural_graph": [node("net", "x", "y_hat", "descent")]}
    return one_model({"models": models, "batch_processors": {"run": graph}})


# Parts and averages


def test_a_part_has_the_weights_of_its_whole() -> None:
    weights = {"from": saved(tower().state_dict())}
    part = {"part_of": "net", "path": "backbone", "weights": weights}
    with pytest.raises(ConfigError, match='give them to "net", with "into": "backbone"'):
        create_session(with_another("body", part), session_dir="run")


def test_an_average_that_blends_may_begin_elsewhere() -> None:
    average: Config = {"average_of": "net", "weights": {"from": saved(tower().state_dict())}}
    with pytest.raises(ConfigError, match='the first update copies "net" over them'):
        create_session(with_another("ema", average), session_dir="run")
    session = create_session(with_another("ema", {**average, "first": "blend"}), "run")
    assert_same(session.models["ema"].state_dict(), tower().state_dict())
