"""Where a config may have files written."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.config.config_kinds import SESSION_PARTS
from torchassistant.errors import UserError
from torchassistant.output_devices import JsonLines
from torchassistant.session.folder import session_folder
from torchassistant.writing import Writing, mark

LINES = (".jsonl", ".txt")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def append(writing: Writing, path: str | Path, text: str = "{}\n") -> Path:
    place = writing.file(path, LINES)
    with place.appending() as handle:
        os.write(handle, text.encode())
    return Path(place.path)


@pytest.mark.parametrize(
    "path", ["out.jsonl", "deep/er/out.TXT", "./a/../out.jsonl", "été 1/o ut.txt", "a.b/c.d.jsonl"]
)
def test_files_below_the_working_directory_are_made_and_appended_to(work: Path, path: str) -> None:
    made = [append(Writing(str(work)), path), append(Writing(str(work)), work / path)]
    assert made[0] == made[1]
    assert made[0].read_text() == "{}\n{}\n"
    assert work in made[0].parents


@pytest.mark.parametrize(
    "path",
    ["../out.jsonl", "/nowhere/out.jsonl", "a/../../out.jsonl", "../workmate/out.jsonl", "/"],
)
def test_other_places_need_the_persons_word(work: Path, path: str) -> None:
    with pytest.raises(UserError, match="--allow-write "):
        Writing(str(work)).folder(path)


def test_what_is_allowed_is_that_folder(work: Path) -> None:
    writing = Writing(str(work), [str(work.parent / "other" / "one")])
    append(writing, work.parent / "other" / "one" / "deep" / "out.jsonl")
    append(writing, "../other/one/out.jsonl")
    for path in ("../other/out.jsonl", "../other/one.jsonl", "../other/one/../x.jsonl"):
        with pytest.raises(UserError, match="--allow-write "):
            writing.file(path, LINES)


def test_the_session_folder_is_allowed_but_for_what_training_writes(work: Path) -> None:
    session = work.parent / "scratch" / "run"
    writing = Writing(str(work)).beside(session)
    append(writing, session / "predictions" / "out.jsonl")
    append(writing, session / "out.jsonl")
    for part in SESSION_PARTS:
        with pytest.raises(UserError, match="by training alone"):
            writing.folder(session / part / "more")
    own = {*session_folder._OURS, *session_folder._OPTIONAL}
    assert own == {*SESSION_PARTS}


def test_other_sessions_are_left_alone(work: Path) -> None:
    (work / "runs" / "one" / "checkpoints").mkdir(parents=True)
    (work / "runs" / "one" / "spec.json").touch()
    append(Writing(str(work)), "runs/one/out.jsonl")
    for path in ("runs/one/changes.jsonl", "runs/one/metrics/2.txt", "runs/one/static/x.jsonl"):
        with pytest.raises(UserError, match="by training alone"):
            Writing(str(work)).file(path, LINES)
    with pytest.raises(UserError, match="by training alone"):
        Writing(str(work / "runs" / "one" / "checkpoints")).file("x.jsonl", LINES)


@pytest.mark.parametrize(
    "path",
    [
        *(".profile", ".profile.jsonl", ".ssh/keys.txt", ".git/hooks/x.txt", "a/.b/c.jsonl"),
        *("a.dist-info/entry_points.txt", "x/site-packages/a.jsonl", "__pycache__/a.jsonl"),
        *("x.py", "x.pth", "x.sh", "setup.cfg", "Makefile", "x.jsonl.py", "sitecustomize.py"),
        *("package.json", "requirements.txt", "requirements-dev.txt", "CMakeLists.txt", "a.jsonl/"),
        *("main.tf.json", "x.auto.tfvars.json", "CMakePresets.json", "nodemon.json", "cdk.json"),
        *("jupyter_server_config.json", "tsconfig.base.json", "nx.json", "jest.config.json"),
        *("--checkpoint-action=exec=x.jsonl", "~/out.jsonl", "a\nb.jsonl", "a\x1b.jsonl", "", "."),
    ],
)
def test_names_that_programs_know_are_refused(work: Path, path: str) -> None:
    if path.endswith("/"):  # the same as without
        assert Writing(str(work)).file(path, LINES).steps == ("a.jsonl",)
        return
    with pytest.raises(UserError, match="may not be written"):
        Writing(str(work), [str(work)]).file(path, LINES)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["results.json", "project-a.json", "tasks.json", "settings.json", "eval.log"]
)
def test_names_that_only_resemble_them_are_not(work: Path, path: str) -> None:
    assert Writing(str(work)).file(path, JsonLines.suffixes).steps == (path,)


def test_a_root_may_be_hidden_itself(work: Path) -> None:
    hidden = work / ".mine"
    hidden.mkdir()
    append(Writing(str(hidden)), "out.jsonl")
    for session in ("", "run", ".run", hidden / "run"):
        Writing(str(hidden)).expect_session(session)
    append(Writing(str(work), [str(hidden)]), ".mine/more.jsonl")


def test_links_are_not_followed(work: Path) -> None:
    away = work.parent / "away"
    away.mkdir()
    (away / "theirs.jsonl").write_text("{}\n")
    (work / "folder").symlink_to(away)
    (work / "inside").mkdir()
    (work / "inward").symlink_to(work / "inside")
    (work / "out.jsonl").symlink_to(away / "theirs.jsonl")
    (work / "gone.jsonl").symlink_to(away / "gone.jsonl")
    for path in ("folder/x.jsonl", "inward/x.jsonl", "out.jsonl", "gone.jsonl", "folder"):
        with pytest.raises(UserError, match="links are not followed"):
            Writing(str(work)).file(path, LINES)
    assert (away / "theirs.jsonl").read_text() == "{}\n"
    # The person may allow where a link leads to, under either name.
    for allowed in (away, work / "folder"):
        append(Writing(str(work), [str(allowed)]), f"folder/{allowed.name}.jsonl")
    with pytest.raises(UserError, match="links are not followed"):
        Writing(str(work), [str(away)]).file("out.jsonl", LINES)


def test_a_link_that_appears_later_is_not_followed(work: Path) -> None:
    away = work.parent / "away"
    away.mkdir()
    one = Writing(str(work)).file("a/b/out.jsonl", LINES)
    with one.appending():
        pass
    (work / "a").rename(work / "was")
    (work / "a").symlink_to(away)
    with pytest.raises(UserError, match="links are not followed"), one.appending():
        pass
    (work / "a").unlink()
    (work / "a").mkdir()
    (work / "a" / "b").symlink_to(away)
    with pytest.raises(UserError, match="links are not followed"), one.appending():
        pass
    assert list(away.iterdir()) == []


def test_the_working_directory_may_be_reached_by_a_link(work: Path) -> None:
    (work.parent / "link").symlink_to(work)
    append(Writing(str(work.parent / "link")), work / "one.jsonl")
    append(Writing(str(work)), work.parent / "link" / "two.jsonl")
    assert sorted(os.listdir(work)) == ["one.jsonl", "two.jsonl"]


def test_what_was_not_made_here_is_left_as_it_is(work: Path) -> None:
    theirs = work / "train.jsonl"
    theirs.write_text('{"x": 1}\n')
    with pytest.raises(UserError, match="was not made by this program"):
        append(Writing(str(work)), "train.jsonl")
    assert theirs.read_text() == '{"x": 1}\n'
    # The person may allow it, where it is of the kind that is written.
    append(Writing(str(work), [str(work)]), "train.jsonl")
    assert theirs.read_text() == '{"x": 1}\n{}\n'
    for text in ("", "notes\n", '{"x": 1}\nnotes\n', "notes\n{}\n", "{}\n{}", "1\n"):
        (work / "notes.txt").write_text(text)
        with pytest.raises(UserError, match="does not hold JSON lines"):
            append(Writing(str(work), [str(work)]), "notes.txt")


def test_what_cannot_be_marked_is_known_by_what_it_holds(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "setxattr")
    monkeypatch.delattr(os, "getxattr")
    append(Writing(str(work)), "out.jsonl")
    append(Writing(str(work)), "out.jsonl")
    (work / "notes.txt").write_text("notes\n")
    with pytest.raises(UserError, match="was not made by this program"):
        append(Writing(str(work)), "notes.txt")


def test_only_plain_files_of_one_name_are_appended_to(work: Path) -> None:
    writing = Writing(str(work))
    made = append(writing, "out.jsonl")
    os.link(made, work / "again.jsonl")
    os.mkfifo(work / "fifo.jsonl")
    (work / "folder.jsonl").mkdir()
    for path in ("out.jsonl", "again.jsonl", "fifo.jsonl", "folder.jsonl"):
        with pytest.raises(UserError, match="may not be written"):
            writing.file(path, LINES)
    assert made.read_text() == "{}\n"


def test_a_fifo_that_appears_later_hangs_nothing(work: Path) -> None:
    place = Writing(str(work)).file("out.jsonl", LINES)
    os.mkfifo(work / "out.jsonl")
    with pytest.raises(UserError, match="not a plain file"), place.appending():
        pass


def test_asking_makes_nothing(work: Path) -> None:
    Writing(str(work)).file("deep/er/out.jsonl", LINES)
    assert list(work.iterdir()) == []


NAMES = st.sampled_from(["a", "..", ".", "b.jsonl", ".c", "link", "", "-d", "work", "~"])


@given(st.lists(NAMES, max_size=7), st.booleans())
def test_nothing_is_ever_meant_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], absolute: bool
) -> None:
    base = tmp_path_factory.mktemp("base")
    work = base / "work"
    work.mkdir()
    (work / "link").symlink_to(base)
    path = os.path.join(str(work) if absolute else "", *names)
    try:
        place = Writing(str(work)).folder(path)
    except UserError:
        return
    assert place.root == str(work)
    with place.opened() as handle:
        found = Path(os.readlink(f"/proc/self/fd/{handle}"))
    assert found == Path(place.path)
    assert found == work or work in found.parents
    assert stat.S_ISDIR(os.stat(place.path).st_mode)


def test_marks_are_no_data(work: Path) -> None:
    file = work / "x.jsonl"
    with file.open("wb") as stream:
        mark(stream.fileno())
    assert file.read_bytes() == b""
    assert json.dumps(append(Writing(str(work)), "x.jsonl").read_text()) == '"{}\\n"'
