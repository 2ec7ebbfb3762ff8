"""Sessions that a stranger made up, or littered: nothing hangs, nothing ends in a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from poison import drop, fingerprint, put, reseal, rewrite, set_text, write_manifest
from toy_config import ROOT, Config, environment, toy_config

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, SessionError, UserError
from torchassistant.session import evaluate_config, infer_config
from torchassistant.session.checkpoints.local_checkpoints import LocalCheckpoints
from torchassistant.training import Reporter

NEWEST, OLDER = "0000000006", "0000000004-1"

Change = Callable[[Path], object]


class Enough(Exception):
    """The run is to end here."""


class After(Reporter):
    """Ends a run in the middle of an epoch."""

    def __init__(self, iterations: int) -> None:
        self.left = iterations

    def iteration_done(self, live: Any) -> None:
        self.left -= 1
        if not self.left:
            raise Enough


def config() -> Config:
    """Three epochs of four iterations; all kinds of state."""
    whole = toy_config(
        net={"class": "toys.Remembering"},
        adam={
            "class": "Adam",
            "model": "net",
            "kwargs": {"lr": 0.01},
            "lr_scheduler": {"class": "StepLR", "kwargs": {"step_size": 1}},
        },
        training={
            "dataset": "parts.train",
            "kwargs": {"batch_size": 8},
            "augment": {"class": "toys.Wobble"},
        },
    )
    whole["initialize"]["definitions"].append(
        {"group": "preprocessors", "name": "norm", "spec": {"class": "toys.Sizes", "fit": "words"}}
    )
    whole["initialize"]["definitions"].append(
        {"group": "datasets", "name": "words", "spec": {"class": "toys.Words"}}
    )
    whole["checkpoints"] = {"every_iterations": 2, "keep_last": 3}
    return whole


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session in the middle of its second epoch."""
    folder = tmp_path_factory.mktemp("good") / "run"
    session = create_session(config(), folder, preflight=False)
    with pytest.raises(Enough):
        session.train(After(7))
    assert session.folder.storage.names()[-2:] == [OLDER, NEWEST]
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def told_by(act: Callable[[], object]) -> tuple[object, str]:
    """What is given, and what is told on standard error."""
    with contextlib.redirect_stderr(io.StringIO()) as told:
        given = act()
    return given, told.getvalue()


def in_time(act: Callable[[], object], seconds: float = 30) -> object:
    """What is given, or raised, before so many seconds have passed."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append((act(), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it hangs"
    given, error = found[0]
    if error is not None:
        raise error
    return given


# What is sealed, and malformed


def state(*steps: Any, to: Any) -> Change:
    return lambda checkpoint: rewrite(checkpoint, "state.json", put(steps, to))


def optimizer(*steps: Any, to: Any) -> Change:
    return lambda checkpoint: rewrite(checkpoint, "optimizers/adam.json", put(steps, to))


def without(name: str, *steps: Any) -> Change:
    return lambda checkpoint: rewrite(checkpoint, name, drop(steps))


def bytes_of(name: str, data: bytes) -> Change:
    def change(checkpoint: Path) -> None:
        (checkpoint / name).write_bytes(data)
        reseal(checkpoint)

    return change


def text_of(name: str, text: str) -> Change:
    return lambda checkpoint: set_text(checkpoint, name, text)


def table(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any table in front."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the table in front of the weights, whose bytes stay."""

    def changed(checkpoint: Path) -> None:
        path = checkpoint / "models" / "net.safetensors"
        raw = path.read_bytes()
        size = struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8 : 8 + size])
        change(header)
        path.write_bytes(table(header, raw[8 + size :]))
        reseal(checkpoint)

    return changed


def manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    def changed(checkpoint: Path) -> None:
        path = checkpoint / "manifest.json"
        data = json.loads(path.read_bytes())
        change(data)
        write_manifest(path, data)

    return changed


DEEP = "[" * 3000 + "]" * 3000
TENSOR = {"$": "tensor", "name": 5}
SPEC: dict[str, Any] = {"initialize": {"definitions": [], "pipelines": {}}}

UNHEARD = {
    "stop": "",
    "untold": None,
    "is_end_untold": False,
    "epoch_told": 0,
    "iteration_told": 0,
    "own": {},
    "given": {},
}
"""What is stored of callbacks that have heard nothing."""


MALFORMED: dict[str, Change] = {
    "the state is a list": state(to=[]),
    "no progress": without("state.json", "progress"),
    "progress is a text": state("progress", to="far"),
    "a negative step": state("progress", "step", to=-1),
    "a vast step": state("progress", "step", to=10**30),
    "a step that is true": state("progress", "step", to=True),
    "another step": state("progress", "step", to=5),
    "a stage that is not there": state("progress", "stage", to=7),
    "another epoch": state("progress", "epoch", to=2),
    "within is a number": state("progress", "within", to=3),
    "a pass of nobody": state("progress", "within", "passes", "x", to={}),
    "a pass with more": state("progress", "within", "passes", "fit", "more", to=1),
    "a sum that is a text": state("progress", "within", "passes", "fit", "losses", "loss", to="s"),
    "a sum of 400 digits": state(
        "progress", "within", "passes", "fit", "losses", "loss", to=[10**400, 1]
    ),
    "loaders that are a list": state("progress", "within", "passes", "fit", "data", to=[1]),
    "a section of nobody": state("more", to={}),
    "no random numbers": state("random", "torch", to=None),
    "few random numbers": state("random", "python", 1, to=[1, 2]),
    "a position beyond the end": state("random", "numpy", 2, to=10**6),
    "random numbers of another size": state("random", "torch", to={"$": "bytes", "value": "AA=="}),
    "a generator that is a text": state(
        "generators", "loader_factories/training/augment/0.generator", to="x"
    ),
    "callbacks are a list": state("callbacks", to=[]),
    "parts of batches have kept nothing": state("parts", to={"losses/mse": []}),
    "callbacks with other keys": state("callbacks", to={"stop": ""}),
    "callbacks of no stage": state("callbacks", to={**UNHEARD, "untold": 5}),
    "callbacks without random numbers": state(
        "callbacks", to={**UNHEARD, "own": {"mine": {"generator": [1], "added": {}}}}
    ),
    "samplers are a list": state("samplers", to=[]),
    "a sampler with other keys": state("samplers", "loader_factories/training", to={"told": {}}),
    "a scheduler that is a number": state("training", "schedulers/adam", to=5),
    "a scheduler without its rates": without(
        "state.json", "training", "schedulers/adam", "base_lrs"
    ),
    "rates that are texts": state("training", "schedulers/adam", "base_lrs", to=["x"]),
    "a scheduler whose method is gone": state("training", "schedulers/adam", "step", to=3),
    "a scheduler of no optimizer": state("training", "schedulers/adam", "optimizer", to=3),
    "buffers that are numbers": state("buffers", "models/net", to={"steps": 5}),
    "buffers of other shapes": state(
        "buffers", "models/net", "a.b.c", to={"$": "tensor", "name": "random.torch"}
    ),
    "an environment of lists": state("environment", "packages", to=[[]]),
    "a tag of nobody": state("extra_state", to={"$": "object", "items": []}),
    "a tensor without a name": state("training", "schedulers/adam", to=TENSOR),
    "no base64": state("training", "schedulers/adam", to={"$": "bytes", "value": "###"}),
    "a deque of less than nothing": state(
        "extra_state", to={"$": "deque", "items": [], "maxlen": -1}
    ),
    "a set of lists": state("extra_state", to={"$": "set", "items": [[1]]}),
    "a float that is none": state("extra_state", to={"$": "float", "value": "x"}),
    "half a character": bytes_of("state.json", b'{"progress": "\\ud800"}'),
    "no text": bytes_of("state.json", b"\xff\xfe"),
    "a deep state": bytes_of("state.json", DEEP.encode()),
    "a state of nothing": bytes_of("state.json", b""),
    "NaN": bytes_of("state.json", b'{"progress": NaN}'),
    "an optimizer that is a list": optimizer(to=[]),
    "an optimizer without groups": without("optimizers/adam.json", "param_groups"),
    "groups without parameters": without("optimizers/adam.json", "param_groups", 0, "params"),
    "a rate that is a text": optimizer("param_groups", 0, "lr", to="fast"),
    "a rate that is gone": without("optimizers/adam.json", "param_groups", 0, "lr"),
    "betas of one": optimizer("param_groups", 0, "betas", to=[0.9]),
    "more groups": lambda c: rewrite(
        c, "optimizers/adam.json", lambda d: d["param_groups"].append(d["param_groups"][0])
    ),
    "moments without the second": without(
        "optimizers/adam.json", "state", "items", 0, 1, "exp_avg_sq"
    ),
    "moments of another shape": optimizer(
        "state", "items", 0, 1, "exp_avg", to={"$": "tensor", "name": "state.0.step"}
    ),
    "moments of nobody": optimizer("state", "items", 0, 0, to=77),
    "weights that are no table": bytes_of("models/net.safetensors", b"\x10" + bytes(30)),
    "weights of nothing": bytes_of("models/net.safetensors", b""),
    "a table that is vast": bytes_of("models/net.safetensors", struct.pack("<Q", 2**62) + b"{}"),
    "tensors over each other": weights(lambda h: h.update({"more": h["layer.weight"]})),
    "a dtype of nobody": weights(lambda h: h["layer.weight"].update(dtype="F33")),
    "a dtype of no model": weights(lambda h: h["layer.weight"].update(dtype="I32")),
    "another shape": weights(lambda h: h["layer.weight"].update(shape=[4, 2, 1])),
    "a negative shape": weights(lambda h: h["layer.weight"].update(shape=[-4, -2])),
    "a tensor of another name": weights(lambda h: h.update({"x": h.pop("layer.weight")})),
    "code that is a list": lambda c: rewrite(c, "code.json", lambda d: []),
    "code of numbers": lambda c: rewrite(c, "code.json", lambda d: {"models": {"x": 5}}),
    "deep code": bytes_of("code.json", DEEP.encode()),
    "no config": text_of("spec.json", "hello"),
    "a deep config": text_of("spec.json", DEEP),
    "a config that is a list": text_of("spec.json", "[]"),
    "a config of another program": text_of("spec.json", '{"name": "app", "version": 3}'),
    "an empty config": text_of("spec.json", json.dumps(SPEC)),
    "a history where earlier versions had it": text_of(
        "metrics/0.csv", "epoch,step,loss,val loss,seconds\n1,4,1,1,1\n"
    ),
    "a text of a file that never changes": text_of("environment.json", "{}"),
    "a history of no stage": manifest(
        lambda m: m["logs"].update({"metrics/x.csv": m["logs"]["metrics/0.csv"]})
    ),
    "a config without its text": manifest(lambda m: m["session"]["spec.json"].pop("text")),
    "a history without its text": manifest(
        lambda m: m["session"].update({"metrics/0.csv": m["files"]["code.json"]})
    ),
    "changes without their text": manifest(
        lambda m: m["session"].update({"changes.jsonl": m["files"]["code.json"]})
    ),
    "a history of a vast size": manifest(lambda m: m["logs"]["metrics/0.csv"].update(size=2**62)),
    "a history of another stage": manifest(
        lambda m: m["logs"].update({"metrics/7.csv": fingerprint(b"")})
    ),
    "a history of two names": manifest(
        lambda m: m["logs"].update({"metrics/00.csv": m["logs"]["metrics/0.csv"]})
    ),
    "a history that is elsewhere": manifest(
        lambda m: m["logs"].update({"metrics/../spec.json": m["logs"]["metrics/0.csv"]})
    ),
    "a name of many parts": manifest(
        lambda m: m["files"].update({"a/" * 3000 + "b": m["files"]["code.json"]})
    ),
    "no state": manifest(lambda m: m["files"].pop("state.json")),
    "no code": manifest(lambda m: m["files"].pop("code.json")),
    "a file outside": manifest(lambda m: m["files"].update({"../../x": m["files"]["code.json"]})),
    "a file of the system": manifest(
        lambda m: m["files"].update({"/etc/passwd": m["files"]["code.json"]})
    ),
    "a file of Windows": manifest(lambda m: m["files"].update({"a\\b": m["files"]["code.json"]})),
    "a name with an end of a line": manifest(
        lambda m: m["files"].update({"a\nb": m["files"]["code.json"]})
    ),
    "a size that is a text": manifest(lambda m: m["files"]["code.json"].update(size="3")),
    "a negative size": manifest(lambda m: m["files"]["code.json"].update(size=-3)),
    "a digest that is a number": manifest(lambda m: m["files"]["code.json"].update(sha256=3)),
    "fingerprints that are lists": manifest(lambda m: m["files"].update({"code.json": []})),
    "a text that is a number": manifest(lambda m: m["session"]["spec.json"].update(text=3)),
    "scores that are texts": manifest(lambda m: m["scores"].update(loss="good")),
    "files that are a list": manifest(lambda m: m.update(files=[])),
    "a format that is a list": manifest(lambda m: m.update(format=[3])),
    "a format that is true": manifest(lambda m: m.update(format=True)),
    "a deep manifest": lambda c: (c / "manifest.json").write_text(DEEP),
    "a manifest of nothing": lambda c: (c / "manifest.json").write_text(""),
    "a key that stands there twice": lambda c: (c / "manifest.json").write_text(
        (c / "manifest.json").read_text().replace('"files"', '"files": {},\n  "files"', 1)
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_passed_over(run: Path, name: str) -> None:
    MALFORMED[name](run / "checkpoints" / NEWEST)
    session, told = told_by(lambda: load_session(run))
    assert session.progress.step == 4, told  # type: ignore[attr-defined]
    assert NEWEST in told.splitlines()[0]
    assert f"warning: resuming from checkpoint {OLDER}" in told.splitlines()


@pytest.mark.parametrize("name", ["a deep state", "a rate that is a text", "another shape"])
def test_where_nothing_sound_is_left_the_newest_is_told(run: Path, name: str) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        MALFORMED[name](checkpoint)
    with pytest.raises(SessionError) as caught:
        load_session(run)
    assert NEWEST in str(caught.value.problems[0])


@pytest.mark.parametrize("name", ["a deep state", "another shape", "an optimizer that is a list"])
def test_evaluation_and_training_go_on_from_an_older_one(run: Path, name: str) -> None:
    MALFORMED[name](run / "checkpoints" / NEWEST)
    results, told = told_by(lambda: evaluate_config(run))
    assert set(results) == {"val loss"}  # type: ignore[call-overload]
    assert f"resuming from checkpoint {OLDER}" in told
    _, told = told_by(lambda: infer_config(run, ["1,2"]))
    assert f"resuming from checkpoint {OLDER}" in told
    session, _ = told_by(lambda: load_session(run))
    _, told = told_by(session.train)  # type: ignore[attr-defined]
    assert session.finished  # type: ignore[attr-defined]
    assert told.count("resuming from") <= 1, "it is told once"
    assert load_session(run).finished


def test_one_that_was_asked_for_has_no_stand_in(run: Path) -> None:
    MALFORMED["another shape"](run / "checkpoints" / NEWEST)
    with pytest.raises(SessionError, match=NEWEST):
        load_session(run, checkpoint="6")


def test_what_has_changed_since_takes_no_training_back(run: Path) -> None:
    """A state that does not fit is an error where what the user has changed may be why."""
    MALFORMED["another shape"](run / "checkpoints" / NEWEST)
    with pytest.raises(SessionError, match="does not fit"):
        load_session(run, settings=["optimizers.adam.kwargs.eps=0.5"])
    with pytest.raises(SessionError, match="does not fit"):
        load_session(run, accept_changes=True)
    with pytest.raises(SessionError, match="does not fit"):
        evaluate_config(run, settings=["device=cpu", "optimizers.adam.kwargs.lr=0.5"])


def test_what_does_not_fit_does_not_begin_the_run_anew(made: Path, tmp_path: Path) -> None:
    """The state from before the first iteration fits nearly anything."""
    session = create_session(config(), tmp_path / "run", preflight=False)
    with pytest.raises(Enough):
        session.train(After(3))
    *_, first, newest = session.folder.storage.names()
    assert first == "0000000000"
    MALFORMED["another shape"](tmp_path / "run" / "checkpoints" / newest)
    with pytest.raises(SessionError, match=newest):
        load_session(tmp_path / "run")
    MALFORMED["a deep state"](tmp_path / "run" / "checkpoints" / newest)
    loaded, _ = told_by(lambda: load_session(tmp_path / "run"))
    assert loaded.progress.step == 0, "what is damaged is passed over"  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", ["x = " + "-" * 10**5 + "1", "x" + "+1" * 10**5, "[" * 10**4])
def test_code_that_cannot_be_parsed_has_changed(run: Path, source: str) -> None:
    rewrite(
        run / "checkpoints" / NEWEST,
        "code.json",
        lambda code: {role: dict.fromkeys(found, source) for role, found in code.items()},
    )
    with pytest.raises(ConfigError, match="has changed"):
        load_session(run)
    _, told = told_by(lambda: evaluate_config(run))
    assert "since this was trained" in told


def test_a_file_of_the_session_with_a_name_of_many_parts(run: Path) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        change = {"a/" * 3000 + "b": fingerprint(b"")}
        reseal(checkpoint, lambda m, more=change: m["session"].update(more))
    with pytest.raises(SessionError, match="cannot be read: File name too long"):
        load_session(run)


# The history


HISTORIES = {
    "without an end of the last line": "epoch,step,loss,val loss,seconds\n1,4,1,1,1",
    "that is no table": "epoch,step\n1,2,3\n",
    "of texts": "epoch,step,loss,seconds\none,2,x,3\n",
    "without epochs": "loss,seconds\n1.0,1.0\n",
    "that is longer": "epoch,step,loss,seconds\n1,4,1,1\n2,8,1,1\n",
    "without seconds": "epoch,step,loss\n1,4,1\n",
    "without names": "1,4,1,1,1\n",
    "of one name twice": "epoch,step,loss,loss,seconds\n1,4,1,1,1\n",
    "of more digits than numbers have": f"epoch,step,loss,seconds\n1,4,{'9' * 5000},1\n",
    "of nothing": "",
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_that_is_none(run: Path, name: str) -> None:
    """Both copies hold it, and the newest checkpoint says that they do."""
    data = HISTORIES[name].encode()
    for folder in ("metrics", "history"):
        (run / folder / "0.csv").write_bytes(data)
    manifest(lambda m: m["logs"].update({"metrics/0.csv": fingerprint(data)}))(
        run / "checkpoints" / NEWEST
    )
    with pytest.raises(SessionError, match=rf"{NEWEST} is damaged: .*history"):
        load_session(run, checkpoint="6")


def test_an_empty_history_of_a_stage_that_is_to_come(tmp_path: Path) -> None:
    """It has not begun, and begins as if nothing were there."""
    whole = config()
    whole["train"]["stages"] *= 2
    session = create_session(whole, tmp_path / "run", preflight=False)
    with pytest.raises(Enough):
        session.train(After(1))
    newest = session.path / "checkpoints" / session.folder.storage.names()[-1]
    (tmp_path / "run" / "metrics" / "1.csv").touch()
    manifest(lambda m: m["logs"].update({"metrics/1.csv": fingerprint(b"")}))(newest)
    loaded, _ = told_by(lambda: load_session(tmp_path / "run"))
    told_by(loaded.train)  # type: ignore[attr-defined]
    assert loaded.history["stage"].tolist() == [0] * 3 + [1] * 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["metrics/0.csv", "history/0.csv", "spec.json"])
def test_a_folder_in_place_of_what_is_written_is_told(run: Path, where: str) -> None:
    (run / where).unlink()
    (run / where).mkdir()
    session, _ = told_by(lambda: load_session(run))
    with pytest.raises(SessionError, match=rf"{where} is a folder"):
        session.train()  # type: ignore[attr-defined]
    (run / where).rmdir()
    told_by(session.train)  # type: ignore[attr-defined]
    assert (run / "metrics/0.csv").read_bytes() == (run / "history/0.csv").read_bytes()


# The static files


def fixed(run: Path, name: str, data: bytes) -> None:
    """Change a file that never changes, and all that is said of it."""
    (run / name).write_bytes(data)
    for checkpoint in (run / "checkpoints").iterdir():
        reseal(checkpoint, lambda m: m["session"].__setitem__(name, fingerprint(data)))


def indices(*slices: list[int], dtype: str = "I64") -> bytes:
    header, data = {}, b""
    for number, part in enumerate(slices):
        packed = struct.pack(f"<{len(part)}q", *part)
        begin = len(data)
        data += packed
        header[str(number)] = {
            "dtype": dtype,
            "shape": [len(part)],
            "data_offsets": [begin, len(data)],
        }
    return table(header, data)


SPLITS = {
    "beyond the end": indices(list(range(30)), list(range(31, 41))),
    "negative": indices(list(range(30)), list(range(-10, 0))),
    "twice": indices(list(range(30)), list(range(10))),
    "floats": indices(list(range(30)), list(range(30, 40)), dtype="F64"),
    "none": table({}),
    "empty slices": indices(list(range(40)), []),
    "one slice": indices(list(range(40))),
}


@pytest.mark.parametrize("name", SPLITS)
def test_splits_that_are_none(run: Path, name: str) -> None:
    fixed(run, "static/splits/parts.safetensors", SPLITS[name])
    with pytest.raises(UserError, match=r"parts"):
        load_session(run)


@pytest.mark.parametrize("data", [b"[1]", b"5", b'{"$": "x"}', DEEP.encode(), b""])
def test_preprocessors_that_are_none(run: Path, data: bytes) -> None:
    fixed(run, "static/preprocessors/norm.json", data)
    with pytest.raises(UserError, match="norm"):
        load_session(run)


LITTER = (
    "\u00b2.csv",
    "._norm.json",
    ".DS_Store",
    "Thumbs.db",
    "norm.json~",
    ".norm.json.swp",
    "x.json",
)


@pytest.mark.parametrize(
    "where", ["", "static", "static/preprocessors", "static/splits", "checkpoints", "metrics"]
)
def test_litter_makes_nothing_unusable(run: Path, where: str) -> None:
    for name in LITTER:
        (run / where / name).write_bytes(b"\x00\x05\x16\x07litter")
    session, told = told_by(lambda: load_session(run))
    assert session.progress.step == int(NEWEST)  # type: ignore[attr-defined]
    assert "warning" not in told
    told_by(session.train)  # type: ignore[attr-defined]
    for name in LITTER:
        assert (run / where / name).exists()


# What is no regular file


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder_there(path: Path) -> None:
    path.mkdir()


FILES = (
    "environment.json",
    "spec.json",
    "changes.jsonl",
    "metrics/0.csv",
    "static/splits/parts.safetensors",
    "static/preprocessors/norm.json",
    f"checkpoints/{NEWEST}/manifest.json",
    f"checkpoints/{NEWEST}/state.json",
    f"checkpoints/{NEWEST}/state.safetensors",
    f"checkpoints/{NEWEST}/code.json",
    f"checkpoints/{NEWEST}/models/net.safetensors",
    f"checkpoints/{NEWEST}/optimizers/adam.json",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("made_of", [fifo, link_to_a_device, folder_there])
def test_what_is_no_file_hangs_nothing(
    run: Path, name: str, made_of: Callable[[Path], None]
) -> None:
    (run / name).unlink(missing_ok=True)
    made_of(run / name)

    def train() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            load_session(run).train()

    for act in (train, lambda: evaluate_config(run)):
        with contextlib.suppress(UserError, OSError):
            in_time(act)


@pytest.mark.parametrize("name", ["checkpoints", "metrics", "static", f"checkpoints/{NEWEST}"])
def test_a_fifo_for_a_folder(run: Path, name: str) -> None:
    shutil.rmtree(run / name)
    os.mkfifo(run / name)
    with contextlib.suppress(UserError, OSError):
        in_time(lambda: load_session(run))


def test_session_folders_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    Path("file").write_text("{}")
    for name in ("fifo", "loop", "socket", "file", "/dev/zero", "/dev/null", "fifo/x", "x" * 300):
        with pytest.raises((UserError, OSError)):
            in_time(lambda name=name: load_session(name))  # type: ignore[misc]
        with pytest.raises((UserError, OSError)):
            request = Path("ask.json")
            request.write_text(json.dumps({"session_dir": name}))
            in_time(lambda: evaluate_config("ask.json"))


# What is vast


def test_a_sparse_terabyte_is_not_hashed(run: Path) -> None:
    checkpoint = run / "checkpoints" / NEWEST
    path = checkpoint / "models" / "net.safetensors"
    entry = {"dtype": "U8", "shape": [10**12], "data_offsets": [0, 10**12]}
    header = table({"x": entry})
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 10**12)
    size = path.stat().st_size
    manifest(lambda m: m["files"]["models/net.safetensors"].update(size=size))(checkpoint)
    session, told = told_by(lambda: in_time(lambda: load_session(run), 20))
    assert "is sparse" in told
    assert session.progress.step == 4  # type: ignore[attr-defined]


def test_a_small_hole_is_no_harm(run: Path) -> None:
    """File systems that compress, and copies of them, have holes where there are zeros."""
    path = run / "checkpoints" / NEWEST / "state.safetensors"
    data = path.read_bytes()
    with path.open("wb") as file:
        for at in range(0, len(data), 4096):
            page = data[at : at + 4096]
            file.seek(at)
            if page.strip(b"\0"):
                file.write(page)
        file.truncate(len(data))
    assert load_session(run).progress.step == int(NEWEST)


def test_many_damaged_checkpoints(run: Path) -> None:
    for number in range(3000):
        (run / "checkpoints" / f"{10**9 + number:010d}").mkdir()
    with pytest.raises(SessionError) as caught:
        in_time(lambda: load_session(run))
    assert len(caught.value.problems) < 100


def test_names_of_checkpoints_are_ascii(tmp_path: Path) -> None:
    (tmp_path / ("\u0660" * 9 + "\u0665")).mkdir()
    (tmp_path / "0000000005").mkdir()
    assert LocalCheckpoints(tmp_path).names() == ["0000000005"]


# The commands


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_a_command_over_what_was_made_up(run: Path, script: str) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        MALFORMED["a rate that is a text"](checkpoint)
        MALFORMED["another shape"](checkpoint)
    (run / "metrics" / "0.csv").unlink()
    os.mkfifo(run / "metrics" / "0.csv")
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "run"],
        cwd=run.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert NEWEST in done.stderr
