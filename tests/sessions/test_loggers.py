"""Loggers: each point once, read back with what each tracker itself reads with."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from toy_config import Config, toy_config, write

import torchassistant.callbacks.logger as logger_base
from torchassistant import create_session, load_session
from torchassistant.callbacks import TensorBoard, Trackio
from torchassistant.callbacks.logger import Logger
from torchassistant.cli import main
from torchassistant.compat.trackio import trackio_in
from torchassistant.errors import ConfigError, DataError, SessionError
from torchassistant.session import Session, log_history
from torchassistant.trackers import About, News, Point
from torchassistant.trackers.mlflow_tracker import _client
from torchassistant.training import Reporter

Points = dict[str, list[tuple[int, int, float]]]
"""By tag: step, milliseconds, value, in the order in which they are kept."""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow and SQLAlchemy

TRUSTED = ("toys", "logged_parts")
TRACKERS = {"tensorboard": "TensorBoard", "mlflow": "MLflow", "trackio": "Trackio"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without runs: to make one takes ten seconds."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    _client(str(database))
    return database


def give_database(empty_mlflow: Path) -> None:
    """Let the session ``run`` find a database."""
    Path("run/mlflow").mkdir()
    shutil.copy(empty_mlflow, "run/mlflow/mlflow.db")


def logged_config(*classes: str, **kwargs: Any) -> Config:
    """The toy's run, with rows within epochs, a confusion matrix, and loggers."""
    more = {f"log {name}": ("callbacks", {"class": name, "kwargs": kwargs}) for name in classes}
    signs = ("metrics", {"class": "logged_parts.Signs", "inputs": ["y_hat", "y"]})
    config = toy_config(signs=signs, **more)
    config["initialize"]["pipelines"]["check"]["metrics"] = [{"metric_name": "signs"}]
    config["log"] = {"every_iterations": 3}
    config["train"]["callbacks"] = list(more)
    return config


def trained(*classes: str, **kwargs: Any) -> Session:
    session = create_session(logged_config(*classes, **kwargs), trust=TRUSTED)
    session.train()
    return session


def expected(session: Session) -> Points:
    """What every tracker has to have, from what the session itself shows."""
    found: Points = {}
    for stage in range(len(session.stages)):
        times = session.rows.times(stage)
        for row in session.rows.rows(stage):
            when = round(times[int(row["step"] or 0)] * 1000)
            _note(found, row, when, ("step",), "")
        for row in session.rows.step_rows(stage):
            when = round(float(row["time"] or 0) * 1000)
            _note(found, row, when, ("step", "epoch", "time"), "steps/")
    return {tag: sorted(points) for tag, points in found.items()}


def _note(found: Points, row: Any, when: int, left_out: tuple[str, ...], prefix: str) -> None:
    for column, value in row.items():
        if value is not None and column not in left_out:
            found.setdefault(prefix + column, []).append((int(row["step"]), when, float(value)))


def in_tensorboard(folder: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(e.step, round(e.wall_time * 1000), e.value) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def run_in_mlflow(folder: Path, experiment: str = "torchassistant") -> tuple[Any, Any]:
    """The client, and the only run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder.absolute()}/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id])
    return client, run


def in_mlflow(folder: Path, experiment: str = "torchassistant") -> Points:
    client, run = run_in_mlflow(folder, experiment)
    return {
        tag: sorted((m.step, m.timestamp, m.value) for m in _history(client, run, tag))
        for tag in run.data.metrics
    }


def _history(client: Any, run: Any, tag: str) -> Any:
    return client.get_metric_history(run.info.run_id, tag)


def in_trackio(folder: Path) -> Points:
    from datetime import datetime

    import trackio

    found: Points = {}
    with trackio_in(str(folder.absolute())) as storage:
        (run,) = trackio.Api().runs("torchassistant")
        for log in storage.get_logs("torchassistant", run.name, run_id=run.id):
            when = round(datetime.fromisoformat(log.pop("timestamp")).timestamp() * 1000)
            step = log.pop("step")
            for tag, value in log.items():
                if isinstance(value, float):
                    found.setdefault(tag, []).append((step, when, value))
    return {tag: sorted(points) for tag, points in found.items()}


READERS = {"tensorboard": in_tensorboard, "mlflow": in_mlflow, "trackio": in_trackio}


def close_to(points: Points) -> Points:
    """The same as float32, as TensorBoard keeps it."""
    import numpy as np

    return {t: [(s, m, float(np.float32(v))) for s, m, v in p] for t, p in points.items()}


def expect_all(session: Session, folder: Path) -> None:
    """Every tracker in a session folder has each point once, and none besides."""
    points = expected(session)
    assert {"loss", "val loss", "steps/loss", "steps/lr/adam", "epoch"} <= points.keys()
    assert in_tensorboard(folder / "tensorboard") == close_to(points)
    assert in_mlflow(folder / "mlflow") == points
    assert in_trackio(folder / "trackio") == points


def test_every_point_is_there_once_after_kills_anywhere(empty_mlflow: Path) -> None:
    config = logged_config()
    kills = {
        "after": {"checkpoint": 4},
        "within": {"iteration": 7},
        "before": {"checkpoint": 8},
        "at the end": {"checkpoint": 12},
    }
    for name, at in kills.items():
        spec = {"class": "logged_parts.Kill", "kwargs": {"file": name, **at}}
        config["initialize"]["definitions"].append(
            {"group": "callbacks", "name": name, "spec": spec}
        )
    for name in TRACKERS.values():
        spec = {"class": name}
        config["initialize"]["definitions"].append(
            {"group": "callbacks", "name": f"log {name}", "spec": spec}
        )
    loggers = [f"log {name}" for name in TRACKERS.values()]
    config["train"]["callbacks"] = ["before", "at the end", "within", *loggers, "after"]
    create_session(config, trust=TRUSTED)
    give_database(empty_mlflow)
    train = ["train", "run", *(part for name in TRUSTED for part in ("--trust", name))]
    for _ in kills:
        # A copy of this process, because MLflow takes seconds to be imported.
        process = os.fork()
        if process == 0:
            try:
                main(train)
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert all(Path(name).exists() for name in kills)
    assert main(train) == 0
    expect_all(load_session("run", trust=TRUSTED), Path("run"))


def test_what_a_session_is_stands_in_each(
    empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, address: Any) -> None:
        raise AssertionError(f"{address} of the network was asked")

    for method in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, method, refuse)
    session = trained()
    give_database(empty_mlflow)
    for to in TRACKERS:
        sent, _ = log_history("run", to)
        again, where = log_history("run", to)
        assert sent == sum(map(len, expected(session).values())) + 3
        assert again == 0, to
        assert where.startswith(str(Path("run", to).absolute()))
    expect_all(session, Path("run"))
    config = Path("run/spec.json").read_text()
    _expect_described_in_tensorboard(config)
    _expect_described_in_mlflow(config)
    _expect_described_in_trackio(config)


def _expect_described_in_tensorboard(config: str) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    events = EventAccumulator("run/tensorboard")
    events.Reload()
    (text,) = events.Tensors("torchassistant/config")
    assert json.loads(config) == json.loads(
        text.tensor_proto.string_val[0].decode().removeprefix("```json").removesuffix("```")
    )
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    parameters = metadata.parse_session_start_info_plugin_data(content).hparams
    assert parameters["optimizers.adam.lr"].number_value == 0.01
    assert parameters["optimizers.adam.class"].string_value == "Adam"
    assert parameters["loader_factories.training.batch_size"].number_value == 8
    assert parameters["seed"].number_value == 5
    pictures = events.Images("signs")
    assert [picture.step for picture in pictures] == [4, 8, 12]
    assert pictures[0].encoded_image_string.startswith(b"\x89PNG")
    assert (pictures[0].width, pictures[0].height) == (96, 96)


def _expect_described_in_mlflow(config: str) -> None:
    client, run = run_in_mlflow(Path("run/mlflow"))
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizers.adam.lr"] == "0.01"
    place = Path(run.info.artifact_uri)
    assert place.is_relative_to(Path("run/mlflow/artifacts").absolute())
    assert json.loads((place / "config.json").read_text()) == json.loads(config)
    files = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    assert sorted(f.split("+")[:3] for f in files if f.endswith(".png")) == sorted(
        [["images/signs", "step", str(step)] for step in (4, 8, 12)]
    )


def _expect_described_in_trackio(config: str) -> None:
    import trackio

    with trackio_in(str(Path("run/trackio").absolute())) as storage:
        (run,) = trackio.Api().runs("torchassistant")
        assert run.name == "run"
        assert run.config["optimizers.adam.lr"] == 0.01
        assert json.loads(run.config["config.json"]) == json.loads(config)
        logs = storage.get_logs("torchassistant", run.name, run_id=run.id)
    pictures = [log["signs"] for log in logs if "signs" in log]
    assert len(pictures) == 3
    for picture in pictures:
        assert picture["_type"] == "trackio.image"
        assert Path("run/trackio/media", picture["file_path"]).read_bytes().startswith(b"\x89PNG")


def test_a_session_that_was_moved_goes_to_an_experiment_of_its_own(empty_mlflow: Path) -> None:
    session = trained()
    give_database(empty_mlflow)
    log_history("run", "mlflow")
    shutil.copytree("run", "moved")
    sent, _ = log_history("moved", "mlflow")
    assert sent > 20
    assert log_history("moved", "mlflow")[0] == 0
    assert in_mlflow(Path("moved/mlflow"), "torchassistant 2") == expected(session)
    assert len(list(Path("run/mlflow/artifacts").iterdir())) == 1


class Given:
    """Points at any times, as a source."""

    about = About("session", "run", 0.0, "{}", {"seed": 1})

    def __init__(self, times: list[float]) -> None:
        self.points = [Point("loss", step, time, 0.5) for step, time in enumerate(times)]

    def news(self) -> News:
        return News(self.points)


@pytest.mark.parametrize("logger", [TensorBoard, Trackio])
def test_a_point_is_known_again_whatever_its_time(logger: type[Logger], tmp_path: Path) -> None:
    draw = random.Random(0)
    # Half a millisecond, and a little more or less, is where rounding twice would go wrong.
    times = [1.8e9 + draw.randrange(10**6) + 0.0005 + draw.uniform(-1e-6, 1e-6) for _ in range(999)]
    for sent in (999, 0):
        follower = logger().follower(tmp_path, Given(times))
        assert follower.catch_up() == sent
        follower.close("finished")


def test_only_what_a_checkpoint_holds_is_sent() -> None:
    config = logged_config("TensorBoard")
    config["checkpoints"] = {"every_epochs": 2}
    session = create_session(config, trust=TRUSTED)
    seen = []

    class Look(logger_base.Callback):
        def on_epoch_start(self, event: Any) -> None:
            points = in_tensorboard(Path("run/tensorboard")) if event.epoch > 1 else {}
            seen.append([step for step, *_ in points.get("val loss", [])])

    session.train(callbacks=[Look()])
    assert seen == [[], [], [4, 8]]
    assert in_tensorboard(Path("run/tensorboard")) == close_to(expected(session))


def test_what_the_session_does_not_have_counts_no_more(empty_mlflow: Path) -> None:
    """The newest state was damaged, and the training goes on from the one before."""
    session = trained()
    give_database(empty_mlflow)
    for to in TRACKERS:
        log_history("run", to)
    newest = session.folder.storage.path(session.folder.storage.names()[-1])
    (newest / "state.json").write_bytes(b"{}")
    again = load_session("run", trust=TRUSTED)
    assert again.progress.step < 12
    again.train()
    for to in TRACKERS:
        log_history("run", to)
    assert expected(again) != expected(session)
    expect_all(again, Path("run"))


@pytest.mark.parametrize("to", ["tensorboard", "trackio"])
def test_a_tracker_that_fails_does_not_end_the_training(
    to: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = create_session(logged_config(TRACKERS[to]), trust=TRUSTED)
    logger = session.callbacks[f"log {TRACKERS[to]}"]
    monkeypatch.setattr(logger_base, "_PAUSE", 0.0)
    send, calls = logger.tracker.send, []

    def fail_twice(self: Any, news: Any) -> None:
        calls.append(len(news))
        if len(calls) in (2, 3):
            raise OSError(28, "No space left on device")
        send(self, news)

    monkeypatch.setattr(logger.tracker, "send", fail_twice)
    session.train()
    assert session.finished
    warnings = capsys.readouterr().err.splitlines()
    assert len([text for text in warnings if "No space left" in text]) == 2
    assert all("training goes on" in text for text in warnings)
    found = READERS[to](Path("run", to))
    assert found == (close_to if to == "tensorboard" else dict)(expected(session))


def _deny_patience(action: int, name: str | None, *others: str | None) -> int:
    """Let a pragma do nothing that sets how long to wait for a lock: 20 seconds."""
    is_patience = action == sqlite3.SQLITE_PRAGMA and name == "busy_timeout"
    return sqlite3.SQLITE_IGNORE if is_patience else sqlite3.SQLITE_OK


class Outage(Reporter):
    """The database of MLflow takes nothing, from one epoch of the run to another.

    Args:
        kind: ``locked``, as another program writes, or ``full``, as there is no room for a page.
        epochs: So many are done when it begins, and when it ends.
    """

    def __init__(self, kind: str, epochs: tuple[int, int]) -> None:
        self.kind, self.epochs = kind, epochs
        self.other: sqlite3.Connection | None = None
        self.is_full = kind == "full" and epochs[0] == 0
        self._connect = sqlite3.dbapi2.connect

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """What each action of MLflow connects with; nobody waits for a lock, as MLflow asks to."""
        connection = self._connect(*args, **{**kwargs, "timeout": 0.0})
        connection.set_authorizer(_deny_patience)
        if self.is_full:
            connection.execute("PRAGMA max_page_count = 1")
        return connection

    def epoch_finished(self, progress: Any, row: Any) -> None:
        begins, ends = (progress.epoch == one for one in self.epochs)
        if begins and self.kind == "locked":
            self.other = self._connect("run/mlflow/mlflow.db", isolation_level=None)
            self.other.execute("BEGIN EXCLUSIVE")
        elif ends:
            self.is_full = False
            if self.other is not None:
                self.other.close()


@pytest.mark.parametrize(
    ("kind", "epochs", "said"),
    [
        ("locked", (1, 2), "database is locked"),
        ("full", (0, 2), "database or disk is full"),
    ],
)
def test_mlflow_gets_later_what_its_database_did_not_take(
    kind: str,
    epochs: tuple[int, int],
    said: str,
    empty_mlflow: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Training goes on, with a warning for each attempt."""
    session = create_session(logged_config("MLflow"), trust=TRUSTED)
    give_database(empty_mlflow)
    with sqlite3.connect("run/mlflow/mlflow.db", isolation_level=None) as database:
        database.execute("PRAGMA page_size = 512")  # so that a few rows need another page
        database.execute("VACUUM")
    database.close()
    outage = Outage(kind, epochs)
    monkeypatch.setattr(logger_base, "_PAUSE", 0.0)
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    monkeypatch.setattr(sqlite3.dbapi2, "connect", outage.connect)
    session.train(outage)
    assert session.finished
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == (1 if kind == "locked" else 3)
    assert all(said in line for line in warnings)
    assert all("training goes on, and what is missing is sent later" in line for line in warnings)
    assert in_mlflow(Path("run/mlflow")) == expected(session)


def test_what_was_not_sent_until_the_end_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Any, about: Any) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(Trackio.tracker, "open", fail)
    session = trained("Trackio")
    assert session.finished
    said = capsys.readouterr().err
    assert "database is locked" in said
    assert '"torchassistant log run --to trackio" sends the rest' in said
    # An outage is not met at each checkpoint.
    assert said.count("could not be written") == 2
    with pytest.raises(SessionError, match="database is locked"):
        log_history("run", "trackio")


def test_training_is_the_same_with_loggers() -> None:
    with_loggers = trained("TensorBoard", "Trackio")
    shutil.move("run", "other")
    without = trained()
    pairs = zip(
        with_loggers.models["net"].parameters(), without.models["net"].parameters(), strict=True
    )
    assert all(one.equal(other) for one, other in pairs)


def test_a_missing_package_is_a_problem_of_the_config(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torchassistant.trackers.missing_packages as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    write(Path("config.json"), logged_config("TensorBoard", "MLflow"))
    trust = [part for name in TRUSTED for part in ("--trust", name)]
    assert main(["check", "config.json", *trust]) == 2
    said = capsys.readouterr().err
    assert 'the package "tensorboard" is not installed' in said
    assert 'pip install "torchassistant[tensorboard]" installs it' in said
    assert 'pip install "torchassistant[mlflow]" installs it' in said
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="is not installed"):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
        create_session(logged_config("Trackio"), trust=TRUSTED)


@pytest.mark.parametrize(
    ("name", "kwargs", "said"),
    [
        ("TensorBoard", {"folder": "/elsewhere"}, "--allow-write /elsewhere"),
        ("TensorBoard", {"folder": "run/metrics"}, "written by training alone"),
        ("MLflow", {"folder": ".git"}, "is hidden"),
        ("Trackio", {"name": "../up"}, "has no path in it"),
        ("Trackio", {"project": "a b"}, "letters, digits"),
        ("TensorBoard", {"foldr": "runs"}, "foldr"),
    ],
)
def test_wrong_arguments_are_problems(name: str, kwargs: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        create_session(logged_config(name, **kwargs), trust=TRUSTED)


def test_links_are_not_followed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    session = create_session(logged_config("TensorBoard", "Trackio"), trust=TRUSTED)
    Path("run/tensorboard").symlink_to(tmp_path / "elsewhere")
    Path("run/trackio").mkdir()
    Path("run/trackio/torchassistant.lock").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("kept")
    session.train()
    assert capsys.readouterr().err.count("is a link") >= 2
    assert not list((tmp_path / "elsewhere").iterdir())
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_database_that_was_not_made_here_is_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with sqlite3.connect(shared / "torchassistant.db") as database:
        database.execute("create table precious (x)")
    if not _can_be_marked(shared / "torchassistant.db"):
        pytest.skip("the file system cannot tell who has made a file")
    config = logged_config("Trackio", folder="shared")
    with pytest.raises(ConfigError, match="was not made by this program"):
        create_session(config, trust=TRUSTED)
    session = create_session(config, trust=TRUSTED, allow_write=[str(shared)])
    session.train()
    assert in_trackio(shared) == expected(session)


def _can_be_marked(file: Path) -> bool:
    try:
        os.getxattr(file, "user.torchassistant.made")
    except (AttributeError, OSError) as error:
        return getattr(error, "errno", None) == errno.ENODATA
    return True


def test_several_sessions_share_a_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        config = logged_config("TensorBoard", folder="runs")
        session = create_session({**config, "session_dir": name}, trust=TRUSTED)
        session.train()
        points = close_to(expected(session))
        assert in_tensorboard(tmp_path / "runs" / name) == points


def test_several_loggers_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = logged_config("TensorBoard", "Trackio", folder="shared")
    second = {"class": "Trackio", "kwargs": {"folder": "shared", "project": "other"}}
    config["initialize"]["definitions"].append(
        {"group": "callbacks", "name": "second", "spec": second}
    )
    config["train"]["callbacks"].append("second")
    session = create_session(config, trust=TRUSTED)
    session.train()
    assert "could not be written" not in capsys.readouterr().err
    assert in_trackio(tmp_path / "shared") == expected(session)
    assert in_tensorboard(tmp_path / "shared" / "run") == close_to(expected(session))
    assert (tmp_path / "shared" / "other.db").exists()


def test_another_session_takes_the_place_of_the_first(tmp_path: Path) -> None:
    config = logged_config("TensorBoard", folder="runs")
    create_session(config, trust=TRUSTED).train()
    shutil.rmtree("run")
    session = create_session(config, trust=TRUSTED)
    session.train()
    assert in_tensorboard(tmp_path / "runs" / "run") == close_to(expected(session))


def test_two_do_not_write_one_run_at_a_time() -> None:
    session = create_session(logged_config("TensorBoard"), trust=TRUSTED)
    said = []

    class Log(logger_base.Callback):
        def on_epoch_end(self, event: Any) -> None:
            with pytest.raises(SessionError, match="is being written by another") as caught:
                log_history("run", "tensorboard")
            said.append(caught)
            log_history("run", "tensorboard", folder="others")

    session.train(callbacks=[Log()])
    assert len(said) == 3
    log_history("run", "tensorboard", folder="others")
    assert in_tensorboard(Path("others/run")) == in_tensorboard(Path("run/tensorboard"))


def test_the_command_rebuilds_it(capsys: pytest.CaptureFixture[str]) -> None:
    session = trained()
    assert main(["log", "run", "--to", "tensorboard", "--folder", "runs", "--name", "a"]) == 0
    assert "points sent" in capsys.readouterr().out
    assert in_tensorboard(Path("runs/a")) == close_to(expected(session))
    assert main(["log", "run", "--to", "tensorboard", "--folder", "runs", "--name", "a"]) == 0
    assert "nothing is missing" in capsys.readouterr().out
    assert main(["log", "nowhere", "--to", "tensorboard"]) == 2
    assert main(["log", "run", "--to", "tensorboard", "--project", "x"]) == 2
    assert main(["log", "run", "--to", "trackio", "--project", "a/b"]) == 2
    assert main(["log", "run", "--to", "tensorboard", "--folder", "run/spec.json"]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["log", "run", "--to", "nothing"])
    assert ended.value.code == 2


def test_a_session_with_the_files_of_loggers_is_replaced() -> None:
    trained("TensorBoard", "Trackio")
    write(Path("config.json"), logged_config("TensorBoard"))
    trust = [part for name in TRUSTED for part in ("--trust", name)]
    assert main(["init", "config.json", "--replace", "run", *trust]) == 0
    assert not Path("run/tensorboard").exists()


def test_images_of_debug_pipelines_are_kept_and_sent() -> None:
    config = logged_config("TensorBoard")
    samples = {
        "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "checking"}],
        "interval": 5,
        "postprocessor": {"class": "logged_parts.image_of"},
        "log": True,
    }
    config["initialize"]["debug_pipelines"] = {"samples": samples}
    config["train"]["stages"][0]["debug_pipelines"] = ["samples"]
    kill = {"class": "logged_parts.Kill", "kwargs": {"file": "killed", "iteration": 11}}
    config["initialize"]["definitions"].append({"group": "callbacks", "name": "k", "spec": kill})
    config["train"]["callbacks"].append("k")
    create_session(config, trust=TRUSTED)
    train = ["train", "run", *(part for name in TRUSTED for part in ("--trust", name))]
    process = os.fork()
    if process == 0:
        try:
            main(train)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
    assert main(train) == 0
    assert images_in("run/tensorboard", "samples") == [5, 10]
    log_history("run", "tensorboard", folder="again", name="all")
    assert images_in("again/all", "samples") == [5, 10]
    assert len(Path("run/metrics/pictures.jsonl").read_text().splitlines()) == 2


def images_in(folder: str, tag: str) -> list[int]:
    """The steps of the images of a tag, which are 6 pixels wide."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder)
    events.Reload()
    assert all(image.width == 6 for image in events.Images(tag))
    return [image.step for image in events.Images(tag)]


def test_samples_are_sent_to_each(empty_mlflow: Path) -> None:
    import trackio

    config = logged_config()
    inputs = [{"variable_names": ["x", "y"], "loader_factory": "checking"}]
    image = {"class": "logged_parts.image_of"}
    config["initialize"]["debug_pipelines"] = {
        "images": {"input_factories": inputs, "postprocessor": image}
    }
    for name, kwargs in {
        "drawn seen": {"pipeline": "images", "images": ["result"]},
        "said": {"pipeline": "check", "examples": 3, "every": 2},
    }.items():
        spec = {"class": "Samples", "kwargs": kwargs}
        config["initialize"]["definitions"].append(
            {"group": "callbacks", "name": name, "spec": spec}
        )
        config["train"]["callbacks"].append(name)
    create_session(config, trust=TRUSTED).train()
    give_database(empty_mlflow)
    for to in TRACKERS:
        assert log_history("run", to)[0] > 0
        assert log_history("run", to)[0] == 0, to
    assert images_in("run/tensorboard", "drawn seen/result") == [4, 8, 12]
    client, run = run_in_mlflow(Path("run/mlflow"))
    texts = [file.path for file in client.list_artifacts(run.info.run_id, "texts")]
    assert sorted(text.split("+timestamp")[0] for text in texts) == [
        *(f"texts/drawn seen+step+{step}" for step in (12, 4, 8)),
        "texts/said+step+8",
    ]
    pictures = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    assert len([p for p in pictures if "drawn seen" in p and p.endswith(".png")]) == 3
    with trackio_in(str(Path("run/trackio").absolute())) as storage:
        (run,) = trackio.Api().runs("torchassistant")
        logs = storage.get_logs("torchassistant", run.name, run_id=run.id)
    (table,) = [log["said"]["_value"] for log in logs if "said" in log]
    assert table.splitlines()[0] == "| index | x | y | y_hat |"
    assert len(table.splitlines()) == 2 + 3
    drawn = [log["drawn seen/result"] for log in logs if "drawn seen/result" in log]
    assert [picture["_type"] for picture in drawn] == ["trackio.image"] * 3


def test_a_debug_pipeline_that_gives_no_image_is_told() -> None:
    config = logged_config()
    inputs = [{"variable_names": ["x", "y"], "loader_factory": "checking"}]
    wrong = {"input_factories": inputs, "log": True}
    wrong["postprocessor"] = {"class": "logged_parts.number_of"}
    config["initialize"]["debug_pipelines"] = {"samples": wrong}
    config["train"]["stages"][0]["debug_pipelines"] = ["samples"]
    session = create_session(config, trust=TRUSTED)
    with pytest.raises(DataError, match='"log" of the debug pipeline "samples" needs a tensor'):
        session.train()
