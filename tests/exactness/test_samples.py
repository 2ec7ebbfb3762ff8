"""Samples: what the models make of examples, kept once for each epoch, whatever cuts the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, feed, loader, loss, made, node, stage
from exact_configs import config as whole_config
from exact_runs import Runs
from heard_parts import Copies
from PIL import Image
from test_callbacks import assert_same_weights, callback, wrong

from torchassistant import create_session, load_session
from torchassistant.callbacks import Samples
from torchassistant.errors import DataError, SessionError, UserCodeError
from torchassistant.session import Session, log_history


def debug(**more: Any) -> Config:
    keys = ["word", "y", "y_hat", "painted"]
    return {"input_factories": [feed("held_out", "image y word")], "output_keys": keys, **more}


def painting(
    *stages: Config, debug_pipelines: dict[str, Config] | None = None, **callbacks: Config
) -> Config:
    """A net over images, 3 batches an epoch."""
    groups = {
        "datasets": {"pictures": made("sample_parts.Pictures")},
        "loader_factories": {
            "batches": loader("pictures", shuffle=True),
            "held_out": loader("pictures"),
        },
        "models": {"net": made("sample_parts.Repaints")},
        "optimizers": {"sgd": {**made("SGD", lr=0.001), "model": "net"}},
        "losses": {"mse": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {
            "run": {"neural_graph": [node("net", "image", "y_hat painted", "sgd")]}
        },
        "callbacks": callbacks,
    }
    pipelines = {
        "fit": {"input_factories": [feed("batches", "image y word")], "losses": [loss("mse")]},
        "check": {
            "input_factories": [feed("held_out", "image y word")],
            "losses": [loss("mse", None, loss_display_name="val")],
        },
    }
    fitting = stages or (stage("fit", epochs=2), stage("fit", epochs=1))
    config = whole_config(groups, pipelines, *fitting)
    config["train"]["callbacks"] = list(callbacks)
    config["initialize"]["debug_pipelines"] = (
        {"show": debug()} if debug_pipelines is None else debug_pipelines
    )
    return config


def trained(config: Config, path: Path) -> Session:
    session = create_session(config, session_dir=path)
    session.train()
    return session


def files_of(session: Path) -> dict[str, bytes]:
    """Every file of samples, with what it holds."""
    folder = session / "samples"
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_examples_of_a_pipeline_are_kept_as_they_are_predicted(tmp_path: Path) -> None:
    session = trained(
        painting(shown=made("Samples", pipeline="check", examples=5)), tmp_path / "run"
    )
    last = session.path / "samples" / "shown" / "epoch-0003"
    lines = lines_of(last)
    assert [line["index"] for line in lines] == [0, 1, 2, 3, 4]
    assert [*lines[2]] == ["index", "image", "y", "word", "y_hat", "painted"]
    assert (lines[2]["y"], lines[2]["word"]) == ([2.0], "no. 2")
    assert lines[2]["image"] == {"png": "0002-image.png"}
    with Image.open(last / "0002-image.png") as image:
        assert (image.size, image.getpixel((0, 0))) == ((5, 4), (51, 51, 51))
    net = session.models["net"].eval()
    images = torch.stack([torch.full((3, 4, 5), i / 10) for i in range(4)])
    with torch.no_grad():
        expected = net(images)[0].tolist()
    assert [line["y_hat"] for line in lines[:4]] == expected
    assert sorted(p.name for p in last.parent.iterdir()) == [f"epoch-000{k}" for k in (1, 2, 3)]
    assert (last.stat().st_mode & 0o777, (last / "samples.jsonl").stat().st_mode & 0o777) == (
        0o755,
        0o644,
    )
    assert_same_weights(session, trained(painting(), tmp_path / "plain"))


def test_a_session_finds_its_samples(tmp_path: Path) -> None:
    kept = {
        "drawn": made("Samples", "show", every=2),
        "shown": made("Samples", "check", columns=["y_hat"]),
    }
    session = load_session(trained(painting(**kept), tmp_path / "run").path)
    (drawn,) = session.samples("drawn")
    assert (drawn.stage, drawn.epoch, drawn.step, drawn.images) == (0, 2, 6, ["painted"])
    rows = drawn.rows()
    assert len(rows) == 4  # one batch, as the debug pipeline runs
    assert [*rows[0]] == ["index", "word", "y", "y_hat", "painted"]
    assert rows[0]["painted"] == drawn.folder / "0000-painted.png"
    assert [one.epoch for one in session.samples("shown")] == [1, 2, 3]
    assert len(session.samples()) == 4
    assert [*session.samples("shown")[0].rows()[0]] == ["index", "y_hat"]
    (drawn.folder / "samples.jsonl").unlink()
    with pytest.raises(DataError, match="has no samples"):
        drawn.rows()


@pytest.mark.parametrize("pipeline", ["show", "check"])
def test_a_run_that_is_cut_has_the_same_samples(pipeline: str, tmp_path: Path) -> None:
    drawing = debug(postprocessor={"class": "sample_parts.OwnDraws"})
    config = painting(debug_pipelines={"show": drawing}, mine=made("Samples", pipeline))
    runs = Runs(config, tmp_path)
    expected = files_of(runs.plain)
    assert len([name for name in expected if name.endswith(".jsonl")]) == 3
    noise = [data for name, data in expected.items() if name.endswith("0000-painted.png")]
    assert len(set(noise)) == 3
    runs.check_all_cuts_in_one()
    assert files_of(tmp_path / "cut everywhere") == expected


def test_a_kill_after_any_save_undoes_what_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = painting(mine=made("Samples", "show"), copies=callback("Copies"))
    config["checkpoints"] = {"every_iterations": 2, "every_epochs": 3}
    monkeypatch.setattr(Copies, "to", tmp_path / "killed")
    plain = trained(config, tmp_path / "plain").path
    monkeypatch.setattr(Copies, "to", None)
    killed = sorted((tmp_path / "killed").iterdir())
    for path in killed:
        # What a process left behind that died after an epoch which no checkpoint holds.
        later = path / "samples" / "mine" / "epoch-0007"
        later.mkdir(parents=True)
        (later / "samples.jsonl").write_text("{}\n")
        (path / "samples" / "mine" / ".aside-1").mkdir()
        load_session(path).train()
        assert files_of(path) == files_of(plain)
        assert (path / "metrics/samples.jsonl").read_bytes() == (
            plain / "metrics/samples.jsonl"
        ).read_bytes()


def test_one_that_train_is_given_keeps_samples_too(tmp_path: Path) -> None:
    session = create_session(painting(), session_dir=tmp_path / "run")
    session.train(callbacks=[Samples("show", every=3)])
    assert [one.epoch for one in session.samples("Samples")] == [3]


def test_what_has_no_row_for_each_example_is_kept_for_the_batch(tmp_path: Path) -> None:
    shown = debug(num_iterations=2, postprocessor={"factory_fn": "sample_parts.whole"})
    shown["postprocessor"] = {"class": "sample_parts.whole"}
    session = trained(
        painting(
            stage("fit", epochs=1), debug_pipelines={"show": shown}, mine=made("Samples", "show")
        ),
        tmp_path / "run",
    )
    lines = lines_of(session.samples()[0].folder)
    assert [line["batch"] for line in lines] == [0, 1]
    assert isinstance(lines[0]["mean"], float)
    assert lines[1]["all"] == {"png": "0001-all.png"}


def test_images_may_be_named(tmp_path: Path) -> None:
    mine = made("Samples", "check", columns=["image", "painted"], images=["painted"], examples=1)
    session = trained(painting(stage("fit", epochs=1), mine=mine), tmp_path / "run")
    (line,) = lines_of(session.samples()[0].folder)
    assert line["painted"] == {"png": "0000-painted.png"}
    assert line["image"] == torch.zeros(3, 4, 5).tolist()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    session = create_session(painting(mine=made("Samples", "show")), session_dir=tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (session.path / "samples").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link"):
        session.train()
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_history_of_samples_that_is_none_is_damage(tmp_path: Path) -> None:
    session = trained(
        painting(stage("fit", epochs=1), mine=made("Samples", "show")), tmp_path / "run"
    )
    line = json.loads((session.path / "metrics/samples.jsonl").read_text())
    for wrong_line in ({**line, "folder": "../.."}, {**line, "step": "1"}, {"name": "mine"}):
        session.rows.logs._held["metrics/samples.jsonl"] = bytearray(
            json.dumps(wrong_line).encode()
        )
        with pytest.raises(SessionError, match="holds no samples"):
            session.samples()


# Wrong uses


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        (
            {"pipeline": "shwo"},
            'no pipeline and no debug pipeline is named "shwo"; did you mean "show"',
        ),
        ({"pipeline": "show", "every": 0}, "every must be a whole number from 1 on; it is 0"),
        ({"pipeline": "show", "examples": 0}, "examples must be a whole number from 1 on; it is 0"),
        (
            {"pipeline": "show", "columns": ["y"]},
            '"columns" has no effect on the debug pipeline "show"',
        ),
        ({"pipeline": "check", "columns": "y"}, '"columns" must be a list of names'),
    ],
)
def test_wrong_arguments_are_problems(kwargs: Config, said: str, tmp_path: Path) -> None:
    text = wrong(painting(mine=made("Samples", **kwargs)), tmp_path)
    assert said in text
    assert "initialize.definitions[" in text


@pytest.mark.parametrize(
    ("kwargs", "postprocessor", "said"),
    [
        (
            {"pipeline": "check", "columns": ["y_hta"]},
            None,
            'no column "y_hta"; did you mean "y_hat"',
        ),
        (
            {"pipeline": "check", "images": ["imgae"]},
            None,
            'no column is named "imgae"; did you mean "image"',
        ),
        (
            {"pipeline": "show", "images": ["word"]},
            None,
            'the column "word" of the samples needs a tensor',
        ),
        ({"pipeline": "show"}, "strange", "which cannot be written as JSON"),
        ({"pipeline": "show"}, "indexed", '"index" says what a sample is of'),
    ],
)
def test_what_cannot_be_kept_is_told_before_the_training(
    kwargs: Config, postprocessor: str | None, said: str, tmp_path: Path
) -> None:
    shown = debug()
    if postprocessor is not None:
        shown["postprocessor"] = {"class": f"sample_parts.{postprocessor}"}
    config = painting(debug_pipelines={"show": shown}, mine=made("Samples", **kwargs))
    text = wrong(config, tmp_path)
    assert said in text
    assert text.startswith("initialize.definitions[")


def test_what_a_post_processor_raises_is_told_with_its_pipeline(tmp_path: Path) -> None:
    shown = debug(postprocessor={"class": "sample_parts.fails"})
    config = painting(debug_pipelines={"show": shown}, mine=made("Samples", "show"))
    with pytest.raises(UserCodeError, match='the debug pipeline "show"') as raised:
        create_session(config, session_dir=tmp_path / "run")
    assert str(raised.value.__cause__) == "no samples today"


# Loggers


def test_loggers_show_them(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = painting(mine=made("Samples", "check", examples=9), board=made("TensorBoard"))
    session = trained(config, tmp_path / "run")
    events = EventAccumulator(str(session.path / "tensorboard"))
    events.Reload()
    images = events.Images("mine/image")
    assert [image.step for image in images] == [3, 6, 9]
    # Nine images (4, 5) in two rows, with gaps of 2 pixels.
    assert (images[0].width, images[0].height) == (8 * 5 + 7 * 2, 2 * 4 + 2)
    texts = (
        events.Tensors("mine/text_summary")
        if "mine/text_summary" in events.Tags()["tensors"]
        else events.Tensors("mine")
    )
    assert [text.step for text in texts] == [3, 6, 9]
    table = texts[0].tensor_proto.string_val[0].decode().splitlines()
    assert table[0] == "| index | y | word | y_hat |"
    assert table[4].startswith("| 2 | [2.0] | no. 2 | [")
    # All is there already; and what was removed since does not count against it.
    for path in (session.path / "samples").rglob("*.*"):
        path.unlink()
    assert log_history(session.path, "tensorboard")[0] == 0
    sent, _ = log_history(session.path, "tensorboard", folder=str(tmp_path / "again"))
    assert sent > 3
