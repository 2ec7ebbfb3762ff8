"""Training graphs: what is in them, what is folded, how they are written, and the command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from torchassistant.cli.main import main
from torchassistant.config import load
from torchassistant.diagram import diagram_of, mermaid_of, svg_of
from torchassistant.diagram.layout import placed
from torchassistant.diagram.parts import Box, Diagram, Panel
from torchassistant.diagram.words import in_words
from torchassistant.overview import training_graph

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE_NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/training.json"))
NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def example(name: str, **options: Any) -> Diagram:
    return diagram_of(load(EXAMPLES / name / "training.json"), name, **options)


def box(panel: Panel, title: str) -> Box:
    return next(one for one in panel.boxes if one.title == title)


def links(panel: Panel) -> set[tuple[str, str, str]]:
    titles = {one.id: one.title for one in panel.boxes}
    return {
        (titles[link.source], titles[link.target], ", ".join(link.lines)) for link in panel.links
    }


def definition(group: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"group": group, "name": name, "spec": spec}


def config(nodes: list[dict[str, Any]], losses: list[str], **changes: Any) -> dict[str, Any]:
    """A config with these nodes, and a loss over each of these columns."""
    models = sorted({node["model_name"] for node in nodes})
    return {
        "session_dir": "session",
        "initialize": {
            "definitions": [
                definition("datasets", "points", **{"class": "data.Points"}),
                definition("loader_factories", "batches", dataset="points"),
                *(definition("models", name, **{"class": "Linear"}) for name in models),
                definition("optimizers", "adam", **{"class": "Adam", "model": models}),
                *changes.get("definitions", []),
                definition("batch_processors", "net", neural_graph=nodes),
                *(
                    definition("losses", f"loss_{c}", **{"class": "MSELoss", "inputs": [c, "y"]})
                    for c in losses
                ),
            ],
            "pipelines": {
                "training": {
                    "input_factories": [
                        {"loader_factory": "batches", "variable_names": ["x", "y"]}
                    ],
                    "losses": [{"loss_name": f"loss_{column}"} for column in losses],
                }
            },
        },
        "train": {"stages": changes.get("stages", [{"training_pipelines": ["training"]}])},
    }


def node(model: str, inputs: str, outputs: str, **more: Any) -> dict[str, Any]:
    return {
        "model_name": model,
        "inputs": [inputs],
        "outputs": [outputs],
        "optimizer_name": "adam",
        **more,
    }


def test_the_graph_of_a_gan() -> None:
    critic, generator, samples = example("wgan").panels
    assert critic.lines == ("trained 5 times an iteration",)
    assert box(critic, "generator").state == "fixed"
    assert box(critic, "critic_of_fake").state == "trained"
    assert box(critic, "penalty").calls == ("critic",)
    assert ("penalty", "Σ", "× 10") in links(critic)
    assert {("generator", "critic_of_fake", "fake"), ("generator", "penalty", "fake")} <= links(
        critic
    )
    assert box(generator, "critic").state == "fixed"
    assert box(samples, "average").state == "average"
    assert "EMA of generator" in box(samples, "average").lines
    assert example("wgan").shared == {"generator": "A", "critic": "B"}


def test_columns_that_are_joined_come_from_both() -> None:
    found = links(example("gan").panels[0])
    assert ("digits_loader", "discriminator", "image") in found
    assert ("generator", "discriminator", "image") in found
    assert ("noise_loader", "discriminator loss", "label") in found


def test_an_adapter_stands_between_columns_and_nodes() -> None:
    (panel,) = example("translation").panels
    assert ("TeacherForcing", "decoder", "previous_words") in links(panel)
    assert ("encoder", "decoder", "memory, is_word") in links(panel)
    assert not any(source == "data" and target == "encoder" for source, target, _ in links(panel))


def test_pipelines_of_one_graph_are_drawn_as_one() -> None:
    (panel,) = example("finetune").panels
    assert panel.title == "training · validation · test"
    assert "validation: validation_loader" in box(panel, "data").lines
    assert box(panel, "loss · val loss").kind == "loss"
    assert 'stage 1 ("head"): frozen' in box(panel, "backbone").lines


def test_a_stage_alone() -> None:
    (panel,) = example("finetune", stage=0).panels
    assert panel.title == "training · validation"
    assert box(panel, "backbone").state == "frozen"
    (panel,) = example("finetune", stage=1).panels
    assert box(panel, "backbone").state == "trained"


def test_taps_and_what_is_carried() -> None:
    student = box(example("distillation", stage=1).panels[0], "student")
    assert any(line.startswith("tapped: ") for line in student.lines)
    (panel,) = example("language_model").panels
    assert ("net", "net", "next_state → state") in links(panel)


def test_equal_branches_and_chains_are_folded() -> None:
    heads = [node(f"head_{i}", "x", f"y_{i}") for i in range(5)]
    spec = load(config(heads, [f"y_{i}" for i in range(5)]))
    (panel,) = diagram_of(spec, "heads").panels
    assert box(panel, "head_0 … head_4").count == 5
    assert box(panel, "loss_y_0 … loss_y_4").count == 5
    blocks = [node(f"block_{i}", "x" if i == 0 else f"h_{i}", f"h_{i + 1}") for i in range(30)]
    spec = load(config(blocks, ["h_30"]))
    (panel,) = diagram_of(spec, "blocks").panels
    assert box(panel, "block_0 … block_29").count == 30
    (panel,) = diagram_of(spec, "blocks", unfolded=True).panels
    assert sum(one.kind == "model" for one in panel.boxes) == 30


def test_two_of_a_kind_are_not_folded() -> None:
    (panel,) = diagram_of(
        load(config([node("a", "x", "p"), node("b", "x", "q")], ["p", "q"])), ""
    ).panels
    assert {"a", "b"} <= {one.title for one in panel.boxes}


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_nothing_lies_on_something_else(name: str) -> None:
    for panel in placed(example(name, unfolded=True)):
        places = [one.place for one in (*panel.boxes, *panel.columns)]
        for index, one in enumerate(places):
            assert one.x >= 0 and one.x + one.width <= panel.place.width
            assert one.y >= 0 and one.y + one.height <= panel.place.height
            for other in places[:index]:
                apart = (
                    one.x + one.width <= other.x
                    or other.x + other.width <= one.x
                    or one.y + one.height <= other.y
                    or other.y + other.height <= one.y
                )
                assert apart, (one, other)


def test_the_same_graph_has_the_same_bytes_and_needs_no_torch() -> None:
    drawn = svg_of(example("wgan"))
    command = "from torchassistant.cli.main import main; import sys; main(sys.argv[1:])"
    command += "; assert 'torch' not in sys.modules"
    source = "examples/wgan/training.json"
    done = subprocess.run(
        [sys.executable, "-c", command, "graph", source],
        capture_output=True,
        text=True,
        check=True,
        cwd=EXAMPLES.parent,
    )
    assert done.stdout == drawn


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_the_graphs_of_the_examples_are_up_to_date(name: str) -> None:
    """Their words are those of the config, as far as they are no shapes (docs/graphs.py)."""
    folder = EXAMPLES / name
    root = ET.fromstring((folder / "graph.svg").read_text("utf-8"))
    shown = root.findtext("svg:desc", namespaces=NAMESPACE) or ""
    expected = in_words(diagram_of(load(folder / "training.json"), name))
    assert re.sub(r" (scalar|\d+(×\d+)*)(?=,|$)", "", shown, flags=re.M) == re.sub(
        r" (scalar|\d+(×\d+)*)(?=,|$)", "", expected, flags=re.M
    )
    assert "](graph.svg)" in (folder / "README.md").read_text("utf-8")


def test_no_name_breaks_a_picture() -> None:
    name = '</title><script>alert("1")</script> & \x1b[31m "] --> x'
    spec = load(config([node("net", "x", "<b>", name=name)], ["y"]))
    spec.train.stages[0].name = name
    diagram = diagram_of(spec, name)
    root = ET.fromstring(svg_of(diagram))
    assert root.find(".//svg:script", NAMESPACE) is None
    assert "<script>" in (root.findtext("svg:title", namespaces=NAMESPACE) or "")
    mermaid = mermaid_of(diagram)
    assert "<script" not in mermaid and '"1"' not in mermaid and "\x1b" not in mermaid


def test_a_picture_has_words_for_those_who_do_not_see_it() -> None:
    root = ET.fromstring(svg_of(example("wgan")))
    described = root.findtext("svg:desc", namespaces=NAMESPACE) or ""
    assert "Pipeline critic (trained 5 times an iteration):" in described
    assert "- noise_loader to generator: noise" in described
    assert root.findtext("svg:title", namespaces=NAMESPACE) == "Training graph of wgan"


def test_mermaid_has_every_box_and_link() -> None:
    diagram = example("wgan")
    text = mermaid_of(diagram)
    boxes = sum(len(panel.boxes) for panel in diagram.panels)
    assert len(re.findall(r"^ +b\d+[\[({]", text, re.MULTILINE)) == boxes
    assert text.count("-->") == sum(len(panel.links) for panel in diagram.panels)
    assert text.count("subgraph") == len(re.findall(r"^ +end$", text, re.MULTILINE))


def test_the_command_writes_files_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(EXAMPLES / "finetune" / "training.json")
    for name in ("graph.svg", "graph.mmd", "graph.png"):
        assert main(["graph", source, "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "graph.svg").read_text("utf-8").startswith("<svg ")
    assert (tmp_path / "graph.mmd").read_text("utf-8").startswith("flowchart TB")
    size = ET.parse(tmp_path / "graph.svg").getroot().attrib
    with Image.open(tmp_path / "graph.png") as picture:
        assert picture.width == pytest.approx(2 * float(size["width"]), abs=2)
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 24)}
    assert {(0xDC, 0xED, 0xF9), (0xDF, 0xF3, 0xEC)} < colors  # what is trained, by what
    capsys.readouterr()
    assert main(["graph", source, "--json", "--stage", "head"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [panel["title"] for panel in told["panels"]] == ["training · validation"]
    for wrong, said in (
        (["--stage", "3"], 'there is no stage "3"; there is "head", "all"'),
        (["-o", str(tmp_path / "graph.gif")], "ends in .svg, .mmd"),
        (["--format", "png"], "is a file: -o graph.png"),
        (["-o", str(tmp_path / "no" / "graph.svg")], "there is no folder"),
        (["-o", str(tmp_path), "--format", "svg"], "is a folder"),
    ):
        assert main(["graph", source, *wrong]) == 2
        assert said in capsys.readouterr().err
    assert main(["graph", str(tmp_path)]) == 2
    assert "is not a session folder" in capsys.readouterr().err


def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "graphlay", None)
    source = str(EXAMPLES / "wgan" / "training.json")
    assert main(["graph", source]) == 2
    assert 'pip install "torchassistant[graph]"' in capsys.readouterr().err
    assert main(["graph", source, "--format", "mermaid"]) == 0
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert main(["graph", source, "-o", str(tmp_path / "graph.png")]) == 2
    assert 'pip install "torchassistant[report]"' in capsys.readouterr().err


def test_a_session_with_its_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = config([node("net", "x", "out")], ["out"])
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    static = tmp_path / "static"
    static.mkdir()
    shapes = {
        "training": {
            "ports": {"input": {"x": [8, 3], "y": [8, 1]}},
            "nodes": {"net": {"net": {"inputs": {"x": [8, 3]}, "outputs": {"out": [8, 1]}}}},
        }
    }
    (static / "shapes.json").write_text(json.dumps(shapes))
    drawn = training_graph(tmp_path)
    assert "x 8×3" in drawn and "out 8×1" in drawn
    assert main(["graph", str(tmp_path), "--shapes"]) == 0
    (static / "shapes.json").unlink()
    assert main(["graph", str(tmp_path), "--shapes"]) == 2
    assert "keeps no shapes" in capsys.readouterr().err
    (static / "shapes.json").write_text(json.dumps({"training": {"ports": [], "nodes": 3}}))
    assert ">x<" in training_graph(tmp_path)
    assert main(["graph", str(tmp_path), "--set", "seed=1"]) == 2
    (tmp_path / "spec.json").write_text("{}")
    assert main(["graph", str(tmp_path)]) == 2
    assert "is damaged: spec.json is not a config" in capsys.readouterr().err
