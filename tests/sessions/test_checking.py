"""What is wrong with a config is told by the commands, together; nothing is created for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from toy_config import Command, Config, toy_config, write

import torchassistant
from torchassistant.errors import ConfigError


def spec_of(config: Config, name: str) -> Config:
    (found,) = [d["spec"] for d in config["initialize"]["definitions"] if d["name"] == name]
    return found


def told(stderr: str) -> dict[int, str]:
    """The sentences, by the line that they are about."""
    found = re.findall(r"^error: c\.json:(\d+):\d+: (.*)$", stderr, flags=re.MULTILINE)
    assert "Traceback" not in stderr
    assert len(found) == stderr.count("error: "), stderr
    return {int(line): sentence for line, sentence in found}


def test_mistakes_of_every_level_are_told_together(tmp_path: Path, command: Command) -> None:
    config = toy_config()
    config["sed"] = 1
    spec_of(config, "parts")["ratio"] = [0.5, 0.2]
    spec_of(config, "training")["kwargs"]["batch_sise"] = 8
    spec_of(config, "net")["class"] = "toys.Nett"
    spec_of(config, "adam")["kwargs"] = {"lr": 0.1, "momentum": 0.9, "params": []}
    spec_of(config, "mse")["kwargs"] = {
        "weight": {"class": "torch.tensor"},
        "reduction": {"class": "os.getcwd"},
    }
    spec_of(config, "processor")["neural_graph"][0]["inputs"] = ["z"]
    config["initialize"]["pipelines"]["fit"]["losses"][0]["loss_name"] = "mes"
    config["train"]["stages"][0]["stop_condition"] = {
        "class": "EarlyStopping",
        "kwargs": {"monitor": "val los"},
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(config, indent=1))
    lines = path.read_text().splitlines()
    expected = {
        '"sed"': 'unknown key "sed"; did you mean "seed"?',
        '"ratio"': "add up to 0.7",
        '"batch_sise"': 'DataLoader has no argument "batch_sise"; did you mean "batch_size"?',
        '"toys.Nett"': '"toys" has no "Nett"; did you mean "Net"?',
        '"momentum"': 'Adam has no argument "momentum"',
        '"params"': 'Adam gets "params" twice: here, and as the parameters',
        '"weight"': 'MSELoss has no argument "weight"',
        '"os.getcwd"': '"os.getcwd" may not be used',
        '"z"': 'neither the frame nor an earlier node gives the input "z"',
        '"mes"': 'no loss is named "mes"; did you mean "mse"?',
        '"val los"': 'no row of this stage has "val los"; did you mean "val loss"?',
    }
    for script, arguments in (("init.py", ()), ("-m", ("torchassistant", "check"))):
        done = command(script, *arguments, "c.json")
        assert (done.returncode, done.stdout) == (2, "")
        found = told(done.stderr)
        assert list(found) == sorted(found)
        for word, sentence in expected.items():
            (number,) = [n for n, line in enumerate(lines, start=1) if word in line]
            assert sentence in found.pop(number), word
        assert found == {}
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]


def test_a_right_config_is_said_to_be_right(tmp_path: Path, command: Command) -> None:
    write(tmp_path / "c.json", toy_config(still=("models", {"class": "toys.Net"})))
    done = command("-m", "torchassistant", "check", "c.json")
    assert done.returncode == 0
    assert done.stdout == "c.json: no problem found\n"
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("warning: c.json:")
    assert 'no optimizer trains the model "still"' in warning
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]


def test_text_that_cannot_be_read_is_told_before_torch_is_imported(
    tmp_path: Path, command: Command
) -> None:
    (tmp_path / "c.json").write_text('{"a": 1,\n "a": NaN,\n "b": "no end')
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('torch was imported')")
    done = command("-m", "torchassistant", "check", "c.json")
    assert done.returncode == 2
    assert "torch was imported" not in done.stderr
    assert list(told(done.stderr)) == [2, 3]


def test_trust_is_given_on_the_command_line_only(tmp_path: Path, command: Command) -> None:
    config = toy_config()
    spec_of(config, "net").update({"class": "decimal.Decimal"})
    config["trust"] = ["decimal"]
    write(tmp_path / "c.json", config)
    done = command("-m", "torchassistant", "check", "c.json")
    assert "--trust decimal" in done.stderr
    assert 'unknown key "trust"' in done.stderr
    done = command("-m", "torchassistant", "check", "c.json", "--trust", "decimal")
    assert "--trust" not in done.stderr
    assert "is not a torch.nn.Module" in done.stderr


# Changing a config


def test_settings_of_a_new_session(tmp_path: Path, command: Command) -> None:
    config = toy_config()
    config["variables"] = {"rate": 0.5}
    spec_of(config, "adam")["kwargs"]["lr"] = "${rate}"
    write(tmp_path / "c.json", config)
    settings = [
        "--set", "variables.rate=0.25",
        "--set", "train.stages[0].stop_condition.kwargs.num_epochs=1",
        "--set", "session_dir=elsewhere",
        "--set", "net.kwargs.hidden=3",
    ]  # fmt: skip
    done = command("init.py", "c.json", *settings)
    assert done.returncode == 0, done.stderr
    session = torchassistant.load_session(tmp_path / "elsewhere")
    assert session.optimizers["adam"].param_groups[0]["lr"] == 0.25
    assert session.models["net"].layers[0].out_features == 3
    assert session.stages[0].num_epochs == 1


def test_a_setting_is_checked_like_the_file(tmp_path: Path, command: Command) -> None:
    write(tmp_path / "c.json", toy_config())
    done = command("init.py", "c.json", "--set", "adam.kwargs.lrr=1", "--set", "adem.kwargs.lr=1")
    assert done.returncode == 2
    first, second = sorted(done.stderr.splitlines())
    assert "--set adam.kwargs.lrr=1" in first
    assert 'Adam has no argument "lrr"' in first
    assert "--set adem.kwargs.lr=1" in second
    assert 'did you mean "adam"' in second
    assert not (tmp_path / "run").exists()


def test_settings_of_a_session(tmp_path: Path) -> None:
    made = torchassistant.create_session(toy_config(), tmp_path / "run")
    settings = ["adam.kwargs.lr=0.5", "train.stages[0].stop_condition.kwargs.num_epochs=1"]
    session = torchassistant.load_session(made.path, settings=settings)
    assert session.optimizers["adam"].param_groups[0]["lr"] == 0.5
    session.train()
    assert len(session.history) == 1
    again = torchassistant.load_session(made.path)
    assert again.finished
    assert again.spec.train.stages == session.spec.train.stages
    assert again.optimizers["adam"].param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "setting",
    [
        "seed=7",
        "net.kwargs.hidden=7",
        "points.kwargs.count=20",
        "fit.losses[0].weight=2",
        "adam.class=SGD",
    ],
)
def test_what_is_decided_cannot_be_changed(tmp_path: Path, setting: str) -> None:
    made = torchassistant.create_session(toy_config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="a change needs a new session") as caught:
        torchassistant.load_session(made.path, settings=[setting])
    assert all(f"--set {setting}" in str(problem) for problem in caught.value.problems)


def test_settings_of_an_evaluation_and_an_inference(tmp_path: Path, command: Command) -> None:
    torchassistant.create_session(toy_config(), tmp_path / "run")

    def evaluated(*settings: str) -> Any:
        options = [option for setting in settings for option in ("--set", setting)]
        done = command("evaluate.py", "run", "--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    whole = evaluated()
    assert evaluated("eval_steps=1") != whole
    assert evaluated('validation_pipelines=["fit"]').keys() == {"loss"}
    assert evaluated("checking.dataset=parts.train")["val loss"] != whole["val loss"]
    assert evaluated("check.losses[0].loss_display_name=error").keys() == {"error"}
    refused = command("evaluate.py", "run", "--set", "chekking.dataset=points")
    assert refused.returncode == 2
    assert "--set chekking.dataset=points" in refused.stderr
    inference = {"session_dir": "run", "inputs_meta": [{"input_converter": {"class": "JsonValue"}}]}
    write(tmp_path / "i.json", inference)
    done = command("infer.py", "i.json", "[1, 2]", "--set", 'results=["x"]')
    assert (done.returncode, done.stdout) == (0, "x: [[1, 2]]\n")
    done = command("infer.py", "i.json", "[1, 2]", "--set", 'results=["y_hat", "z"]')
    assert done.returncode == 2
    assert "results[1]" in done.stderr


def test_problems_of_both_configs_are_told_together(tmp_path: Path, command: Command) -> None:
    torchassistant.create_session(toy_config(), tmp_path / "run")
    overlay = {
        "session_dir": "run",
        "validation_piplines": ["check"],
        "initialize": {
            "definitions": [{"group": "losses", "name": "mse", "spec": {"class": "MSELos"}}],
            "pipelines": {"check": {"metrics": [{"metric_name": "nse"}]}},
        },
    }
    write(tmp_path / "e.json", overlay)
    done = command("evaluate.py", "e.json")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert 'did you mean "validation_pipelines"' in done.stderr
    assert 'no metric is named "nse"' in done.stderr
    assert '"MSELos" is not found in torch.nn' in done.stderr
    assert done.stderr.count("error: e.json:") == 3
