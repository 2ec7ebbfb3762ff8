"""One dataset, one model, one optimizer are enough; where they are not, the choices are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_config import Command, write

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError

Config = dict[str, Any]


def made(path: str, **kwargs: Any) -> Config:
    return {"class": path, "kwargs": kwargs}


def small(dataset: str, model: Config, **more: Config) -> Config:
    """A config of one dataset, one model and one optimizer; ``group__name=SPEC`` adds to it."""
    definitions = [
        {"group": "datasets", "name": "data", "spec": {"class": f"plain_data.{dataset}"}},
        {"group": "models", "name": "net", "spec": model},
        {"group": "optimizers", "name": "adam", "spec": {**made("Adam", lr=0.1), "model": "net"}},
    ]
    for key, spec in more.items():
        group, name = key.split("__")
        definitions.append({"group": group, "name": name, "spec": spec})
    return {"seed": 1, "initialize": {"definitions": definitions}}


def flat(size: int, outputs: int = 2) -> Config:
    return made("plain_data.Flat", size=size, outputs=outputs)


CLASSIFIERS = {
    "pictures": ("Pictures", flat(16), {"input_1_image_normalizer"}),
    "pixels": ("Pixels", flat(48), {"input_1_image_normalizer"}),
    "sentences": ("Sentences", made("plain_data.Bag"), {"input_1_text_tokenizer"}),
    "tokens": ("Tokens", made("plain_data.Bag"), set()),
    "vectors": ("Vectors", made("torch.nn.Linear", in_features=2, out_features=2), None),
    "classes below 0": ("Signed", flat(2), {"input_1_number_normalizer", "input_2_categories"}),
    "two inputs": ("Pairs", made("plain_data.Two"), None),
    "dicts": ("Named", flat(2), set()),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier(tmp_path: Path, kind: str) -> None:
    dataset, model, preprocessors = CLASSIFIERS[kind]
    session = create_session(small(dataset, model), tmp_path / "run")
    if preprocessors is not None:
        assert preprocessors <= set(session.preprocessors)
    session.train()
    last = session.history.iloc[-1]
    assert list(session.history.columns) == [
        "stage", "epoch", "step", "loss", "val loss", "val accuracy", "seconds"
    ]  # fmt: skip
    assert last["val accuracy"] == 1.0
    assert load_session(tmp_path / "run").evaluate()["val accuracy"] == 1.0


def test_a_regression(tmp_path: Path) -> None:
    session = create_session(small("Amounts", flat(2, 1)), tmp_path / "run")
    session.train()
    assert session.history.iloc[-1]["val mean absolute error"] < 0.1


def test_the_best_is_chosen_by_a_column_that_is_filled_in(tmp_path: Path) -> None:
    """It is known when the data has been read, and a wrong one is told then."""
    config = small("Vectors", flat(2))
    config["checkpoints"] = {"best": {"monitor": "val accuracy"}}
    session = create_session(config, tmp_path / "run")
    assert session.spec.checkpoints.bests[0].mode == "max"
    config["checkpoints"] = {"best": {"monitor": "val acuracy"}}
    with pytest.raises(ConfigError, match=r'no row of any stage has "val acuracy".*"val accuracy"'):
        create_session(config, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_what_is_fitted_sees_the_training_slice(tmp_path: Path) -> None:
    session = create_session(small("Vectors", flat(2)), tmp_path / "run")
    assert len(session.splits["split"].train) == 48
    spec = session.spec.group("preprocessors")
    assert {item.fit for item in spec.values()} == {"split.train"}


def test_two_datasets_need_no_split(tmp_path: Path) -> None:
    config = small("Vectors", flat(2), datasets__train_set={"class": "plain_data.Vectors"})
    session = create_session(config, tmp_path / "run")
    assert not session.splits
    loader = session.spec.group("loader_factories")["training_batches"]
    assert session.spec.group("datasets")[loader.dataset].link == "train_set"


def test_what_is_given_is_kept(tmp_path: Path) -> None:
    config = small(
        "Named",
        flat(2),
        losses__margin={**made("MultiMarginLoss"), "inputs": ["y_hat", "label"]},
        splits__mine={"dataset_name": "data", "ratio": [0.5, 0.5]},
    )
    config["train"] = {
        "stages": [
            {
                "training_pipelines": ["training"],
                "validation_pipelines": ["validation"],
                "stop_condition": made("EpochsCompleted", num_epochs=2),
            }
        ]
    }
    session = create_session(config, tmp_path / "run")
    assert list(session.losses) == ["margin"]
    assert len(session.splits["mine"].val) == 30
    session.train()
    assert len(session.history) == 2


UNDECIDED = {
    "two models": (small("Vectors", flat(2), models__other=flat(2)), '"net", "other"'),
    "no optimizer": (
        {"initialize": {"definitions": small("Vectors", flat(2))["initialize"]["definitions"][:2]}},
        "there is no optimizer",
    ),
    "three datasets": (
        small(
            "Vectors",
            flat(2),
            datasets__b={"class": "plain_data.Vectors"},
            datasets__c={"class": "plain_data.Vectors"},
        ),
        'the datasets are "data", "b", "c"',
    ),
    "one column": (small("Alone", flat(2)), "one column"),
    "too few columns": (small("Vectors", made("plain_data.Two")), "the model takes 2 inputs"),
    "texts that do not repeat": (small("Stories", made("plain_data.Bag")), "hardly repeats"),
    "an unknown kind of target": (small("Structures", flat(2)), 'of the kind "dict"'),
    "no data": (small("Nothing", flat(2)), "is empty"),
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_the_choices_are_named(tmp_path: Path, case: str) -> None:
    config, sentence = UNDECIDED[case]
    with pytest.raises(ConfigError) as caught:
        create_session(config, tmp_path / "run")
    (problem,) = caught.value.problems
    assert sentence in problem.message
    assert not (tmp_path / "run").exists()


def test_the_completed_config_is_printed_and_is_the_same_config(
    tmp_path: Path, command: Command
) -> None:
    write(tmp_path / "small.json", small("Vectors", flat(2)))
    done = command("-m", "torchassistant", "check", "--complete", "small.json")
    assert done.returncode == 0, done.stderr
    (tmp_path / "whole.json").write_text(done.stdout)
    for name in ("small", "whole"):
        assert command("init.py", f"{name}.json").returncode == 0
    one, two = (
        json.loads((tmp_path / "sessions" / name / "spec.json").read_text())
        for name in ("small", "whole")
    )
    assert one.pop("session_dir") != two.pop("session_dir")
    assert one == two
