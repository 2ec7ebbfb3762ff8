"""Searches over a tiny session: what they promise, and that they go on where they were."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from searches import TRUSTED, decided, request, search, trained
from toy_config import ROOT

from torchassistant.cli.main import main
from torchassistant.compression import Record
from torchassistant.compression.records import SearchFolder
from torchassistant.errors import ConfigError, SessionError, UserError
from torchassistant.session import create_session, evaluate_config, load_session
from torchassistant.training import Reporter


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained()
    return folder / "run"


@pytest.fixture
def session(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained_once, tmp_path / "run")
    return tmp_path / "run"


def test_the_best_is_a_session_that_keeps_the_promise(session: Path) -> None:
    found = search(request(), confirm="check", trials=6)
    first, best = found.records[0], found.best
    assert found.result == session.with_name("run-compressed") / "result"
    assert best.worse_by is not None and best.worse_by <= 0.05
    assert best.size < first.size / 2
    assert best.size == min(record.size for record in found.records if record.holds)
    assert {"int8", "low-rank"} <= {str(record.method.get("kind")) for record in found.records}
    measured = evaluate_config(found.result, **TRUSTED)
    assert measured["val loss"] == best.metric
    before, after = found.confirmed or ({}, {})
    assert before["val loss"] == first.metric and after["val loss"] == best.metric
    # It is finished, and predicts like any other.
    small = load_session(found.result, **TRUSTED)
    assert small.finished
    assert len(small.predict("check")) == 10


class Killed(BaseException):
    """What nobody answers, as a process that dies."""


def test_a_search_goes_on_where_it_was_killed(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = request(delta=1e-6)  # so that hardly anything holds that is not trained
    whole = search(hard, folder="whole")
    count = len(whole.records)
    assert count > 4 and any(record.method.get("epochs") for record in whole.records)

    def dying(at: int) -> Any:
        def tell(record: Record) -> None:
            if record.number == at:
                raise Killed

        return tell

    class Dying(Reporter):
        def epoch_finished(self, *args: Any, **kwargs: Any) -> None:
            raise Killed

    with pytest.raises(Killed):
        search(hard, dying(1), folder="cut")
    with pytest.raises(Killed):  # while the first is trained
        search(hard, folder="cut", reporter=Dying())
    assert list(Path("cut/candidates").glob("*-training"))
    told: list[int] = []
    cut = search(hard, lambda record: told.append(record.number), folder="cut")
    assert told == list(range(count))
    assert decided(cut.records) == decided(whole.records)
    assert not list(Path("cut/candidates").glob("*-training"))


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_finds_the_same(session: Path) -> None:
    methods = "int8,int8-static,low-rank,prune,distill"
    given = ["--monitor", "val loss", "--delta", "0.01", "--finetune", "1", "--methods", methods]
    command = [sys.executable, "-m", "torchassistant", "compress", "run", *given]
    command += ["--no-export", "--trust", "toys"]
    paths = [str(ROOT), str(ROOT / "tests" / "sessions")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run([*command, "-o", "whole"], env=environment, check=True, capture_output=True)
    draws = random.Random(3)
    for _ in range(5):
        with subprocess.Popen(
            [*command, "-o", "cut"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stderr is not None
            process.stderr.readline()  # the first candidate that is known
            time.sleep(draws.uniform(0, 2))
            process.kill()  # SIGKILL
    subprocess.run([*command, "-o", "cut"], env=environment, check=True, capture_output=True)
    wholly, cut = (SearchFolder(Path(name)).records() for name in ("whole", "cut"))
    assert len(wholly) > 8 and decided(cut) == decided(wholly)
    results = [evaluate_config(Path(name) / "result", **TRUSTED) for name in ("whole", "cut")]
    assert results[0] == results[1]


def test_it_stops_by_rule_and_goes_on(session: Path) -> None:
    two = search(request(), trials=2)
    assert len(two.records) == 3 and two.ended == "2 candidates were tried"
    assert "s have passed" in search(request(), seconds=0).ended
    assert len(search(request(), trials=3).records) == 4


def test_nothing_is_promised_that_does_not_hold(session: Path) -> None:
    found = search(request(delta=0.0, methods=("low-rank",), finetune=0))
    assert found.result is None or (found.best.worse_by or 0) <= 0
    worse = [record for record in found.records if not record.holds]
    assert worse and not any(
        (session.with_name("run-compressed") / "candidates" / f"{one.number:04}").exists()
        for one in worse
    )


def test_the_result_follows_the_best(session: Path) -> None:
    one = search(request(), trials=1)
    assert one.result is not None
    size = one.best.size
    more = search(request(), trials=4)
    assert more.best.size < size
    assert evaluate_config(more.result, **TRUSTED)["val loss"] == more.best.metric


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"monitor": "val los"}, {}, 'nothing gives "val los".*"val loss"'),
        ({"methods": ("int",)}, {}, '"int" is no method.*"int8"'),
        ({"methods": ()}, {}, "no method is left"),
        ({"delta": -1.0}, {}, "delta must be"),
        ({"finetune": -1}, {}, "finetune must be"),
        ({}, {"confirm": "chek"}, 'no pipeline is named "chek".*"check"'),
    ],
)
def test_what_does_not_fit_the_session(
    session: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        search(request(**changes), **options)
    assert not session.with_name("run-compressed").exists()


def test_a_folder_holds_one_search(session: Path) -> None:
    search(request(), trials=1)
    with pytest.raises(SessionError, match='begun with another "delta"'):
        search(request(delta=0.5))
    with pytest.raises(SessionError, match="exists already, and is no search"):
        search(request(), folder="run")
    (session.with_name("run-compressed") / "search.json").write_text('{"format": 1}')
    with pytest.raises(SessionError, match="is damaged, or of something else"):
        search(request())


def test_the_command(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--monitor", "val loss", "--delta", "0.05", "--finetune", "0", "--trust", "toys"]
    assert main(["compress", "run", *given, "--trials", "1", "--confirm", "check"]) == 0
    out = capsys.readouterr().out
    assert "int8" in out and "times smaller" in out
    assert "on other data: val loss" in out
    # The best one was exported, and that is known from then on.
    (best,) = (line for line in out.splitlines() if line.startswith("*"))
    assert best.split()[-1] == "yes"
    assert not Path("run-compressed/export").exists()
    assert main(["compress", "run", *given, "--trials", "1", "--no-export", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best"] == 1 and told["exported"] is True
    assert told["candidates"][1]["method"] == {"kind": "int8"}
    assert told["ended"] == "1 candidate was tried"
    assert main(["compress", "run", *given[:-2], "--methods", "int", "--trust", "toys"]) == 2


def test_the_steps_of_a_config_are_checked(session: Path) -> None:
    found = search(request(), trials=1)
    assert found.result is not None
    config = json.loads((found.result / "spec.json").read_text())
    (net,) = (d for d in config["initialize"]["definitions"] if d["name"] == "net")
    net["spec"]["compressed"][0]["axes"]["7.weight"] = 0
    with pytest.raises(UserError, match='the model "net": there is no module "7"'):
        create_session({**config, "session_dir": "other"}, **TRUSTED)
