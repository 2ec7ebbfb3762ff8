"""``"cache"`` of a dataset, through the commands: what is made once, found again, made again."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import counted_datasets as counted
import pytest
from toy_config import ROOT, Command, environment, files_of, toy_config, write

from torchassistant import create_session
from torchassistant.errors import ConfigError, DataError
from torchassistant.session import Session, load_session

TRUSTED = ["toys", "counted_datasets"]
TRUST = ("--trust", "counted_datasets")
Trained = Callable[..., Session]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of caches, of each test its own."""
    monkeypatch.setenv("TORCHASSISTANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def train(tmp_path: Path) -> Trained:
    """Creates and trains a session; what was made by the training alone is in ``made``."""

    def run(name: str, seed: int = 5, **changes: Any) -> Session:
        changes.setdefault("points", {"class": "counted_datasets.Counted"})
        config = {**toy_config(**changes), "seed": seed}
        session = create_session(config, name, trust=TRUSTED)
        (tmp_path / "made.txt").unlink(missing_ok=True)
        session.train()
        return session

    return run


def made(tmp_path: Path) -> list[int]:
    """The examples that were made, in order."""
    log = tmp_path / "made.txt"
    return [int(line.split()[1]) for line in log.read_text().splitlines()] if log.exists() else []


def loader(part: str, **kwargs: Any) -> dict[str, Any]:
    return {"dataset": f"parts.{part}", "kwargs": {"batch_size": 8, **kwargs}}


def results(folder: Path) -> dict[str, Any]:
    """What a session came to: weights and optimizers, and the history without seconds."""
    last = sorted((folder / "checkpoints").iterdir())[-1]
    weights = {name: data for name, data in files_of(last).items() if name.endswith(".safetensors")}
    rows = (folder / "metrics" / "0.csv").read_text().splitlines()
    return {**weights, "rows": [row.rpartition(",")[0] for row in rows]}


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize(("where", "workers"), [("memory", 0), ("memory", 2), ("disk", 2)])
def test_made_once_and_the_same_bits(
    tmp_path: Path, train: Trained, capfd: pytest.CaptureFixture[str], where: str, workers: int
) -> None:
    """Three epochs of training and of validation, over two slices of one dataset."""
    loaders = {
        "training": loader("train", num_workers=workers),
        "checking": loader("val", num_workers=workers),
    }
    train("plain", **loaders)
    assert len(made(tmp_path)) == 3 * 40
    train("cached", points={"class": "counted_datasets.Counted", "cache": where}, **loaders)
    assert made(tmp_path) == ALL
    place = "in memory" if where == "memory" else "on disk"
    assert capfd.readouterr().err.count(f'the dataset "points" is cached {place}: 40 ex') == 1
    assert results(tmp_path / "plain") == results(tmp_path / "cached")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_workers_that_are_no_copies(tmp_path: Path, command: Command, where: str) -> None:
    """A worker that is started anew uses the buffers, or maps the files, of the main process."""
    workers = {"num_workers": 1, "multiprocessing_context": "spawn"}
    points = {"class": "counted_datasets.Counted", "cache": where}
    config = toy_config(points=points, training=loader("train", **workers))
    assert command("init.py", write(tmp_path / "c.json", config), *TRUST).returncode == 0
    (tmp_path / "made.txt").unlink()
    done = command("train.py", "run", *TRUST)
    assert done.returncode == 0, done.stderr
    assert made(tmp_path) == ALL


@pytest.mark.slow
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_resuming_is_exact(tmp_path: Path, command: Command, where: str) -> None:
    points = {"class": "counted_datasets.Counted", "cache": where}
    net = {"class": "toys.Net", "kwargs": {"dropout": 0.5}}
    write(tmp_path / "c.json", toy_config(points=points, net=net))
    done = command("-m", "torchassistant", "verify-resume", "c.json", "--iterations", "6", *TRUST)
    assert done.returncode == 0, done.stderr
    assert "identical, bit for bit" in done.stdout


def test_a_cache_may_be_given_to_a_begun_session(tmp_path: Path, train: Trained) -> None:
    """The generator that the dataset keeps is found again inside its cache."""
    points = {"class": "counted_datasets.Keeping"}
    more = ["train.stages[0].stop_condition.kwargs.num_epochs=4"]
    for name, settings in (("plain", more), ("cached", [*more, "points.cache=memory"])):
        train(name, points=points)
        (tmp_path / "made.txt").unlink()
        session = load_session(name, settings=settings, trust=TRUSTED)
        session.train()
        assert len(made(tmp_path)) == 40
    assert results(tmp_path / "plain") == results(tmp_path / "cached")


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_what_is_random_is_refused(train: Trained, cache: Path, where: str) -> None:
    with pytest.raises(DataError, match='the dataset "points" draws random numbers'):
        train("run", points={"class": "counted_datasets.CountedJitter", "cache": where})
    assert where == "memory" or entries(cache) == []


def test_a_refusal_of_the_command(tmp_path: Path, command: Command) -> None:
    points = {"class": "counted_datasets.CountedJitter", "cache": "disk"}
    config = write(tmp_path / "c.json", toy_config(points=points))
    assert command("init.py", config, *TRUST).returncode == 0
    done = command("train.py", "run", *TRUST)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'belong in "augment" of the loader factory' in done.stderr
    assert done.stderr.count("\n") == 1


# Found again


DISK = {"class": "counted_datasets.Counted", "cache": "disk"}
ALL = list(range(40))


def looked_at(examples: list[int]) -> bool:
    """Whether of 40 examples as many were made again as it takes to see that they are the same."""
    return examples[:2] == [0, 39] and len(set(examples)) == len(examples) == 5


def test_a_second_session_finds_it(tmp_path: Path, train: Trained, cache: Path) -> None:
    train("one", points=DISK)
    assert made(tmp_path) == ALL
    train("two", points=DISK)
    assert looked_at(made(tmp_path))
    assert results(tmp_path / "one") == results(tmp_path / "two")
    assert len(entries(cache)) == 1


def test_other_arguments_make_another(tmp_path: Path, train: Trained, cache: Path) -> None:
    train("one", points=DISK)
    train("two", points={**DISK, "kwargs": {"log": "./made.txt"}})
    assert made(tmp_path) == ALL
    assert len(entries(cache)) == 2


def test_other_code_makes_another(
    tmp_path: Path, train: Trained, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("one", points=DISK)
    monkeypatch.setattr(counted, "SCALE", 2.0)
    train("two", points=DISK)
    assert made(tmp_path) == ALL
    assert len(entries(cache)) == 2
    assert results(tmp_path / "one") != results(tmp_path / "two")


def test_another_preprocessor_makes_another(tmp_path: Path, train: Trained) -> None:
    """It has other arguments in the third session, and is fitted to other data in the last."""
    given = {"link": "points", "preprocessors": ["scaled"], "cache": "disk"}
    made_each = []
    for number, (power, count) in enumerate([(1.0, 40), (1.0, 40), (2.0, 40), (2.0, 60)]):
        scaled = {"class": "counted_datasets.Scaled", "fit": "points", "kwargs": {"power": power}}
        train(
            f"run{number}",
            points={"class": "counted_datasets.Counted", "kwargs": {"count": count}},
            scaled=("preprocessors", scaled),
            given=("datasets", given),
            parts={"dataset_name": "given", "ratio": [0.75, 0.25]},
        )
        made_each.append(made(tmp_path))
    first, second, *others = made_each
    assert looked_at(second)
    assert [first, *others] == [ALL, ALL, list(range(60))]


def test_other_data_makes_another(
    tmp_path: Path, train: Trained, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    points = {"class": "counted_datasets.FromFile", "args": ["points.txt"], "cache": "disk"}
    rows = [f"{n} {n / 3}" for n in range(40)]
    (tmp_path / "points.txt").write_text(";".join(rows))
    train("one", points=points)
    (tmp_path / "points.txt").write_text(";".join(reversed(rows)))
    train("two", points=points)
    assert made(tmp_path) == ALL
    train("three", points=points)
    assert looked_at(made(tmp_path))
    assert "rebuilt" not in capfd.readouterr().err
    # What nothing else tells is seen in the examples.
    (tmp_path / "offset.txt").write_text("1.5")
    train("four", points=points)
    assert "other examples than the dataset gives, and is rebuilt" in capfd.readouterr().err
    assert looked_at(made(tmp_path)[:5])
    assert made(tmp_path)[5:] == ALL
    assert len(entries(cache)) == 2


def test_data_whose_time_was_set_back(tmp_path: Path, train: Trained) -> None:
    """Of the same size, and as old as before: the system knows better."""
    points = {"class": "counted_datasets.FromFile", "args": ["points.txt"], "cache": "disk"}
    path = tmp_path / "points.txt"
    path.write_text(";".join(f"{n} {n / 4:.2f}" for n in range(40)))
    train("one", points=points)
    before = path.stat()
    path.write_text(path.read_text().replace("7 1.75", "7 1.85"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    train("two", points=points)
    assert made(tmp_path) == ALL


@pytest.mark.parametrize("kind", ["Drawn", "Counted"])
def test_what_follows_from_the_seed(
    tmp_path: Path,
    train: Trained,
    capfd: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    """Another seed draws other points; where nothing is drawn, the cache serves every seed."""
    points = {"class": f"counted_datasets.{kind}", "cache": "disk"}
    train("five", points=points)
    train("six", seed=6, points=points)
    again = made(tmp_path)
    assert again == ALL if kind == "Drawn" else looked_at(again)
    assert "rebuilt" not in capfd.readouterr().err


# Limits, damage, ends


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_too_large(
    tmp_path: Path, train: Trained, cache: Path, capfd: pytest.CaptureFixture[str], where: str
) -> None:
    train("plain")
    train("cached", points={**DISK, "cache": where, "cache_limit": "240 B"})
    told = capfd.readouterr().err
    assert told.count("warning: ") == 1
    assert 'the dataset "points" is not cached' in told
    assert len(made(tmp_path)) == 3 * 40 + 21
    assert where == "memory" or entries(cache) == []
    assert results(tmp_path / "plain") == results(tmp_path / "cached")


def test_the_least_recently_used_makes_room(tmp_path: Path, train: Trained, cache: Path) -> None:
    """There is room for two."""
    train("first", points=DISK)
    limit = 2 * sum(map(len, files_of(entries(cache)[0]).values())) + 100
    shutil.rmtree(cache)
    for name, (count, expected) in enumerate([(40, 40), (41, 41), (40, 5), (42, 42), (40, 5)]):
        gc.collect()  # an entry is in use for as long as its session is there
        train(str(name), points={**DISK, "cache_limit": limit, "kwargs": {"count": count}})
        assert len(made(tmp_path)) == expected
        assert len(entries(cache)) == min(name + 1, 2)


def test_what_is_in_use_is_not_removed(
    train: Trained, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = train("one", points={**DISK, "cache_limit": "1 kB"})
    before = entries(cache)
    train("two", points={**DISK, "cache_limit": "1 kB", "kwargs": {"count": 41}})
    assert "other caches that are in use take" in capfd.readouterr().err
    assert entries(cache) == before
    assert one.datasets["points"][0][0].shape == (2,)


@pytest.mark.parametrize("damage", ["shorter", "no json", "another json", "gone", "empty"])
def test_damage_is_mended(tmp_path: Path, train: Trained, cache: Path, damage: str) -> None:
    train("one", points=DISK)
    (entry,) = entries(cache)
    before = files_of(entry)
    if damage == "shorter":
        os.truncate(entry / "1.data", 100)
    elif damage == "gone":
        (entry / "0.data").unlink()
    else:
        text = (entry / "entry.json").read_text()
        other = {"no json": text[:-5], "another json": text.replace("40", "41"), "empty": ""}
        (entry / "entry.json").write_text(other[damage])
    train("two", points=DISK)
    assert made(tmp_path) == ALL
    assert files_of(entries(cache)[0]) == before


def trainer(name: str) -> subprocess.Popen[str]:
    """A process that trains a session."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), name, *TRUST],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_while_filling(tmp_path: Path, train: Trained, cache: Path) -> None:
    """What is half done is no entry; the next one clears it away."""
    slow = {**DISK, "kwargs": {"slowness": 0.5}}
    create_session({**toy_config(points=slow)}, "killed", preflight=False, trust=TRUSTED)
    victim = trainer("killed")
    wait_until(lambda: len(made(tmp_path)) >= 3)
    victim.kill()
    victim.communicate()
    assert entries(cache) == []
    assert [path for path in cache.iterdir() if path.is_dir()] != []
    train("after", points=DISK)
    assert made(tmp_path) == ALL
    assert [path for path in cache.iterdir() if path.is_dir()] == entries(cache)


@pytest.mark.parametrize("kind", [pytest.param("memory", marks=pytest.mark.slow), "disk"])
def test_interrupted_while_filling(tmp_path: Path, cache: Path, kind: str) -> None:
    """Nothing has to be finished: it ends at the example at hand, and leaves nothing behind."""
    slow = {**DISK, "cache": kind, "kwargs": {"slowness": 0.5}}
    create_session(toy_config(points=slow), "asked", preflight=False, trust=TRUSTED)
    asked = trainer("asked")
    wait_until(lambda: len(made(tmp_path)) >= 3)
    asked.send_signal(signal.SIGINT)
    _, said = asked.communicate()
    assert asked.returncode == 130
    assert "the state after iteration 0" in said
    assert not cache.exists() or [path for path in cache.iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_two_fill_at_once(tmp_path: Path, cache: Path) -> None:
    slow = {**DISK, "kwargs": {"slowness": 0.05}}
    for name in ("one", "two"):
        create_session(toy_config(points=slow), name, preflight=False, trust=TRUSTED)
    both = [trainer(name) for name in ("one", "two")]
    told = [process.communicate(timeout=100)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert all("is cached on disk" in text for text in told), told
    assert len(entries(cache)) == 1
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_a_folder_that_cannot_be_made(
    tmp_path: Path,
    train: Trained,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TORCHASSISTANT_CACHE", "file/cache")
    train("run", points=DISK)
    told = capfd.readouterr().err
    assert 'warning: the dataset "points" is not cached' in told
    assert "cannot be written" in told
    assert len(made(tmp_path)) == 3 * 40


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(
    tmp_path: Path, train: Trained, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is in it can be used all the same."""
    train("one", points=DISK)
    cache.chmod(0o555)
    try:
        train("two", points=DISK)
        assert looked_at(made(tmp_path))
        train("three", points={**DISK, "kwargs": {"count": 41}})
        assert "cannot be written" in capfd.readouterr().err
    finally:
        cache.chmod(0o755)


def test_what_can_only_be_iterated_over(tmp_path: Path) -> None:
    points = {"class": "counted_datasets.Streamed", "cache": "memory"}
    training, checking = ({"dataset": "points", "kwargs": {"batch_size": 8}} for _ in range(2))
    config = toy_config(points=points, training=training, checking=checking)
    config["initialize"]["definitions"] = [
        d for d in config["initialize"]["definitions"] if d["name"] != "parts"
    ]
    with pytest.raises(ConfigError, match=r"spec\.cache: .*cannot be cached"):
        create_session(config, "run", trust=TRUSTED)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
