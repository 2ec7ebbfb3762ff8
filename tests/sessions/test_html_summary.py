"""What a notebook shows of a session holds what matters, and nothing that a browser would run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import Config, toy_config

from torchassistant import create_session, load_session
from torchassistant.callbacks import Callback
from torchassistant.session import Session

TAGS = {"div", "b", "br", "p", "table", "tr", "th", "td"}


class Reading(HTMLParser):
    """The tables of a page, by what stands before each; checks that its tags are plain ones."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag in TAGS and not attrs
        if tag == "table":
            self.rows = self.tables[self.text] = []
        elif tag == "tr":
            self.rows.append([])
        if tag != "br":
            self.open.append(tag)
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text = data

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.rows[-1].append(self.text)
            self.text = ""


def two_stages() -> Config:
    config = toy_config()
    stage = config["train"]["stages"][0]
    config["train"]["stages"].append({**stage, "name": "fine"})
    return config


def tables(session: Session) -> dict[str, list[list[str]]]:
    return Reading(session._repr_html_()).tables


def test_a_new_session(tmp_path: Path) -> None:
    session = create_session(two_stages(), session_dir=tmp_path / "run")
    html = session._repr_html_()
    assert "<b>Session run</b>" in html
    assert "stage 1 of 2: 0 epochs and 0 iterations are done" in html
    assert "history: no rows yet" in html
    assert Reading(html).tables == {
        "models": [["model", "class", "parameters", "trainable"], ["net", "Net", "17", "17"]],
        "optimizers": [
            ["optimizer", "class", "groups"],
            ["adam", "Adam", "0: 17 parameters, lr 0.01, weight_decay 0"],
        ],
        "stages": [
            ["stage", "trains", "pipelines", "until", ""],
            ["stage 1", "net", "fit, check", "EpochsCompleted(num_epochs=3)", "not begun"],
            ['stage 2 ("fine")', "net", "fit, check", "EpochsCompleted(num_epochs=3)", "not begun"],
        ],
    }


def test_a_session_that_is_trained(tmp_path: Path) -> None:
    config = two_stages()
    config["checkpoints"] = {"best": [{"monitor": "val loss", "mode": "max"}]}
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    html = session._repr_html_()
    assert "finished: 6 epochs and 24 iterations are done" in html
    found = Reading(html).tables
    assert [row[-1] for row in found["stages"][1:]] == ["done: 3 epochs"] * 2
    last = found["history: the last 5 of 6 rows"]
    assert last[0] == ["stage", "epoch", "step", "loss", "val loss", "seconds"]
    assert [row[:3] for row in last[1:3]] == [["0", "2", "8"], ["0", "3", "12"]]
    assert last[-1][:3] == ["fine", "6", "24"]
    history = session.history
    best = history.loc[history["val loss"].idxmax()]
    assert found["best values"][1] == [
        "val loss",
        "highest",
        f"{best['val loss']:.4g}",
        str(best["stage"]),
        str(best["epoch"]),
    ]
    assert found["best values"][2][:2] == ["loss", "lowest"]
    loaded = load_session(tmp_path / "run")
    assert tables(loaded) == found
    loaded.stages.clear()  # as in a session that only predicts
    assert "stages" not in tables(loaded)
    assert tables(loaded)["history: the last 5 of 6 rows"] == last


class Ending(Callback):
    """Ends the training in the middle of an epoch."""

    def on_iteration_end(self, event: Any) -> None:
        if event.iteration == 6:
            event.stop_training()
        if event.iteration == 2:
            self.seen = tables(event.session)


def test_a_session_in_the_middle(tmp_path: Path) -> None:
    session = create_session(two_stages(), session_dir=tmp_path / "run")
    ending = Ending()
    session.train(callbacks=[ending])
    assert ending.seen["stages"][1][-1] == "0 epochs and a part done"
    assert [row[-1] for row in tables(session)["stages"][1:]] == ["done: 2 epochs", "left out"]


HOSTILE = "<script src='http://a.b/c.js'>alert(1)</script>&\""


def test_names_are_text(tmp_path: Path) -> None:
    config = two_stages()
    config["train"]["stages"][1]["name"] = HOSTILE
    config["initialize"]["pipelines"]["check"]["losses"][0]["loss_display_name"] = HOSTILE
    session = create_session(config, session_dir=tmp_path / "<img src=x onerror=alert(1)>")
    session.train()
    html = session._repr_html_()
    assert not re.search("<(?!/?(div|b|br|p|table|tr|th|td)>)", html)
    assert html.count("&lt;script src=&#x27;http") > 3
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_it_stays_small(tmp_path: Path) -> None:
    config = toy_config(**{f"net{n}": ("models", {"class": "toys.Net"}) for n in range(30)})
    for number in range(20):
        config["initialize"]["pipelines"]["check"]["losses"].append(
            {"loss_name": "mse", "loss_display_name": f"{number} {'x' * 100}"}
        )
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    found = tables(session)
    assert len(found["models"]) == 21
    assert len(found["history: the last 3 of 3 rows, 12 of 26 columns"][0]) == 12
    assert len(session._repr_html_()) < 20_000


def test_what_is_not_known_is_not_counted(tmp_path: Path) -> None:
    session = create_session(toy_config(), session_dir=tmp_path / "run")
    session.models["net"] = torch.nn.LazyLinear(1)
    assert tables(session)["models"][1] == ["net", "LazyLinear", "not known yet", "not known yet"]


@pytest.mark.parametrize("rate", [0.01, torch.tensor(0.01)])
def test_a_rate_may_be_a_tensor(tmp_path: Path, rate: Any) -> None:
    session = create_session(toy_config(), session_dir=tmp_path / "run")
    session.optimizers["adam"].param_groups[0]["lr"] = rate
    assert "lr 0.01" in tables(session)["optimizers"][1][2]
