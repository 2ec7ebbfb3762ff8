"""Configs in JSON turned into YAML, and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchassistant.cli.main import main
from torchassistant.config import as_yaml, scan, write_json
from torchassistant.conversion import convert_config
from torchassistant.conversion.comments import comments_of, with_comments

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
documents = st.dictionaries(
    texts,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=5,
)


@settings(max_examples=80)
@given(documents)
def test_json_that_is_written_reads_back_equal(data: Any) -> None:
    text = write_json(data)
    assert json.dumps(scan(text).tree) == json.dumps(data)


@settings(max_examples=60)
@given(documents, st.lists(texts.filter(str.isprintable), min_size=1, max_size=3))
def test_comments_change_nothing(data: dict[str, Any], words: list[str]) -> None:
    """A comment at every key of a config, taken to the other form and back again."""
    text = as_yaml(data)
    lines: list[str] = []
    for number, line in enumerate(text.splitlines()):
        indent = line[: len(line) - len(line.lstrip())]
        if line.rstrip().endswith(":") and not line.lstrip().startswith(('"', "'", "?")):
            lines.append(f"{indent}# {words[number % len(words)]}")
            line += " # behind"
        lines.append(line)
    commented = "\n".join(lines) + "\n"
    found = scan(commented, "c.yaml")
    if found.problems or found.tree != data:
        return  # inside of a text of several lines
    comments = comments_of(commented, found.tree, is_yaml=True)
    as_json = with_comments(write_json(data), comments, "c.json", "//")
    assert scan(as_json).tree == data and not scan(as_json).problems
    again = comments_of(as_json, scan(as_json).tree, is_yaml=False)
    back = with_comments(as_yaml(data), again, "c.yaml", "#")
    assert scan(back, "c.yaml").tree == data


@pytest.mark.parametrize("name", ["digits", "gan", "language_model"])
def test_an_example_in_yaml_and_back(name: str, tmp_path: Path) -> None:
    source = EXAMPLES / name / "training.json"
    there, back = tmp_path / "training.yaml", tmp_path / "training.json"
    assert main(["convert", str(source), str(there)]) == 0
    assert main(["convert", str(there), str(back)]) == 0
    original = scan(source.read_text("utf-8")).tree
    assert scan(there.read_text("utf-8"), "c.yaml").tree == original
    assert scan(back.read_text("utf-8")).tree == original
    comments = source.read_text("utf-8").count(" //") + source.read_text("utf-8").count("\n//")
    assert there.read_text("utf-8").count("# ") + there.read_text("utf-8").count("#\n") >= comments


def test_where_comments_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, back = (tmp_path / name for name in ("c.json", "c.yaml", "back.json"))
    source.write_text(
        """// what it is
{
    "seed": 1, // drawn
    /* two
     * lines */
    "names": [
        "a",
        "b" // the second
    ],
    // inside
    "url": "http://x#y",
    "deep": {
        // deeper
        "lr": 1e-3
    }
} // the end
"""
    )
    assert main(["convert", str(source), str(target)]) == 0
    assert target.read_text() == (
        """# what it is
seed: 1  # drawn
# two
# lines
names: [a, b]  # the second
# inside
url: http://x#y
deep:
  # deeper
  lr: 0.001
# the end
"""
    )
    assert capsys.readouterr().out.endswith("c.yaml: written, with 8 lines of comments\n")
    assert main(["convert", str(target), str(back)]) == 0
    assert back.read_text() == (
        """{
    // what it is
    "seed": 1,  // drawn
    // two
    // lines
    "names": ["a", "b"],  // the second
    // inside
    "url": "http://x#y",
    // deeper
    "deep": {"lr": 0.001}
}
// the end
"""
    )


def test_anchors_are_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "c.yml", tmp_path / "c.json"
    source.write_text("a: &a {x: 1} # once\nb: {<<: *a, y: '#'}\n")
    assert main(["convert", str(source), str(target)]) == 0
    assert convert_config(source, target, replace=True).comments == 1
    assert target.read_text() == (
        '{\n    "a": {"x": 1},  // once\n    "b": {"x": 1, "y": "#"}\n}\n'
    )
    assert "anchors and merge keys are written out: JSON has none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        ("c.json", "d.json", [], "c.json and d.json are both JSON"),
        ("c.yaml", "d.yml", [], "c.yaml and d.yml are both YAML"),
        ("c.json", "d.txt", [], "d.txt: the name of a config ends in .json, .yaml, .yml"),
        ("c.json", "no/d.yaml", [], "no/d.yaml: there is no folder no"),
        ("c.json", "there.yaml", [], "there.yaml is there already; --replace replaces it"),
        ("c.json", "d.yaml", ["--key", "x"], "--key, --exclude and --skip-objects are for weights"),
        ("bad.yaml", "d.json", [], 'bad.yaml:2:1: the key "a" is given twice'),
        ("none.yaml", "d.json", [], "cannot read the file: No such file"),
    ],
)
def test_wrong_uses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    target: str,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"c.json": "{}", "c.yaml": "a: 1", "there.yaml": "b: 2", "bad.yaml": "a: 1\na: 2\n"}
    for name, text in files.items():
        Path(name).write_text(text)
    assert main(["convert", source, target, *options]) == 2
    assert message in capsys.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_what_a_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: 1 # one\n")
    done = subprocess.run(
        [sys.executable, "-m", "torchassistant", "convert", "c.yaml", "c.json", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"file": "c.json", "comments": 1, "has_anchors": False}
