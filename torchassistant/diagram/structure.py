"""From a config to its training graph: which pipelines there are, and which are drawn as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any, Literal

from torchassistant.config import DebugPipelineSpec, Spec, StageSpec
from torchassistant.diagram.folding import folded
from torchassistant.diagram.freezing import Freezing
from torchassistant.diagram.parts import Box, Diagram, Link, Panel
from torchassistant.diagram.pipeline_graph import AnyPipeline, PipelineGraph
from torchassistant.diagram.shapes import Shapes

Deed = Literal["trained", "validated", "looked at", "idle"]


@dataclass(frozen=True, slots=True)
class Run:
    """What is done with a pipeline in the stages in view.

    Args:
        name: The name of the pipeline.
        pipeline: The pipeline.
        deeds: What is done with it, each with when.
    """

    name: str
    pipeline: AnyPipeline
    deeds: Sequence[tuple[Deed, str]]

    @property
    def is_trained(self) -> bool:
        """Whether something is trained by it."""
        return any(deed == "trained" for deed, _ in self.deeds)

    @property
    def said(self) -> str:
        """What is done with it, for a person."""
        return "; ".join(" ".join(filter(None, deed)) for deed in self.deeds) or "in no stage"

    @property
    def key(self) -> object:
        """The same for pipelines that run the same graph on the same columns."""
        fed = tuple(
            (
                item.input_alias,
                item.from_pipeline,
                item.node,
                tuple(item.columns or ()),
                tuple(item.renames.items()),
            )
            for item in self.pipeline.input_factories
        )
        return self.pipeline.graph, tuple(sorted((self.pipeline.models or {}).items())), fed


def diagram_of(
    spec: Spec,
    title: str,
    stage: int | None = None,
    shapes: Mapping[str, Any] | None = None,
    unfolded: bool = False,
) -> Diagram:
    """The training graph of a completed config.

    Args:
        spec: The config, as it was checked.
        title: What it is of.
        stage: The index of the only stage in view; left out: all stages.
        shapes: Of columns, as a session keeps them.
        unfolded: Whether what is repeated is drawn each time.
    """
    stages = dict(enumerate(spec.train.stages))
    if stage is not None:
        stages = {stage: stages[stage]}
    groups = _grouped(_runs(spec, stages, is_whole=stage is None))
    panels = [_panel(spec, runs, stages, shapes or {}, index) for index, runs in enumerate(groups)]
    if not unfolded:
        panels = [folded(panel) for panel in panels]
    return Diagram(title, panels, _shared(panels))


def _runs(spec: Spec, stages: Mapping[int, StageSpec], is_whole: bool) -> Iterator[Run]:
    """The pipelines in view, those that are trained first."""
    pipelines = spec.initialize.pipelines
    deeds: dict[str, list[tuple[Deed, str]]] = {}
    debug: dict[str, tuple[DebugPipelineSpec, list[tuple[Deed, str]]]] = {}
    for index, stage in stages.items():
        where = "" if len(spec.train.stages) == 1 else f"in {spec.stage_title(index)}"
        for entry in stage.entries:
            deed = _joined(_turn(entry), where)
            deeds.setdefault(entry.pipeline, []).append(("trained", deed))
        for name in stage.validation_pipelines:
            deeds.setdefault(name, []).append(("validated", where))
        for position, one in enumerate(stage.debug_pipelines):
            name = one if isinstance(one, str) else f"debug {index + 1}.{position + 1}"
            found = spec.initialize.debug_pipelines[one] if isinstance(one, str) else one
            every = f"every {found.interval} iterations" if found.interval > 1 else ""
            _, said = debug.setdefault(name, (found, []))
            said.append(("looked at", _joined(every, where)))
    runs = [Run(name, pipelines[name], done) for name, done in deeds.items()]
    runs += [Run(name, pipeline, done) for name, (pipeline, done) in debug.items()]
    if is_whole:
        idle = [name for name in pipelines if name not in deeds]
        runs += [Run(name, pipelines[name], ()) for name in idle]
    yield from sorted(runs, key=lambda run: not run.is_trained)


def _turn(entry: Any) -> str:
    """When a training pipeline runs; nothing where it is once an iteration."""
    parts = []
    if entry.repeat > 1:
        parts.append(f"{entry.repeat} times an iteration")
    if entry.every > 1:
        parts.append(f"every {entry.every} iterations")
    if entry.from_ > 0:
        parts.append(f"from iteration {entry.from_} on")
    return ", ".join(parts)


def _joined(*texts: str) -> str:
    return ", ".join(filter(None, texts))


def _grouped(runs: Iterator[Run]) -> list[list[Run]]:
    """Pipelines that are drawn as one: those that are not trained join the first that fits."""
    groups: list[list[Run]] = []
    for run in runs:
        fitting = (group for group in groups if group[0].key == run.key)
        group = None if run.is_trained else next(fitting, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups


def _panel(
    spec: Spec,
    runs: Sequence[Run],
    stages: Mapping[int, StageSpec],
    shapes: Mapping[str, Any],
    index: int,
) -> Panel:
    first, prefix = runs[0], f"p{index + 1}"
    graphs = []
    known = Shapes(next((shapes[run.name] for run in runs if run.name in shapes), None))
    for run in runs:
        training = {
            spec.stage_title(i): stage
            for i, stage in stages.items()
            if run.name in stage.trained_pipelines
        }
        freezing = Freezing(training)
        graph = PipelineGraph(spec, run.name, run.pipeline, run.is_trained, freezing, known, prefix)
        graph.run()
        graphs.append(graph)
    boxes, links = _united(graphs)
    titles = [run.name for run in runs]
    lines = [first.said] if len(runs) == 1 else [f"{run.name}: {run.said}" for run in runs]
    return Panel(prefix, " · ".join(titles), tuple(lines), tuple(boxes), tuple(links))


def _united(graphs: Sequence[PipelineGraph]) -> tuple[list[Box], list[Link]]:
    """The boxes of pipelines that are drawn as one; what they have of their own is added."""
    boxes = dict(graphs[0].boxes)
    links = {(link.source, link.target, link.is_carried): link for link in graphs[0].links}
    if len(graphs) == 1:
        return list(boxes.values()), list(links.values())
    scores = dict(graphs[0].scores)
    for graph in graphs[1:]:
        same: dict[str, str] = {}
        for key, box in graph.scores.items():
            if (known := scores.setdefault(key, box)) in boxes:
                same[box] = known
                boxes[known] = _also_called(boxes[known], graph.boxes[box].title)
        for name, added in graph.boxes.items():
            if name not in same:
                boxes.setdefault(name, added)
        for link in graph.links:
            target = same.get(link.target, link.target)
            links.setdefault((link.source, target, link.is_carried), replace(link, target=target))
    for index, port in enumerate(graphs[0].ports):
        boxes[port] = _data_of_all(graphs, index)
    return list(boxes.values()), list(links.values())


def _also_called(box: Box, title: str) -> Box:
    """A box under another name too."""
    if title in box.title.split(" · "):
        return box
    return replace(box, title=f"{box.title} · {title}")


def _data_of_all(graphs: Sequence[PipelineGraph], index: int) -> Box:
    """The box of what feeds the same port of several pipelines."""
    fed = {graph.name: graph.boxes[graph.ports[index]] for graph in graphs}
    first = next(iter(fed.values()))
    if len({box.title for box in fed.values()}) == 1:
        return first
    lines = [f"{name}: {box.title}" for name, box in fed.items()]
    inputs = graphs[0].pipeline.input_factories
    port = "" if len(inputs) == 1 else f" for {inputs[index].input_alias}"
    return replace(first, title=f"data{port}", lines=tuple(lines))


def _shared(panels: Sequence[Panel]) -> dict[str, str]:
    """A letter for each model that stands in several boxes."""
    places: dict[str, int] = {}
    for panel in panels:
        for box in panel.boxes:
            for model in dict.fromkeys(box.models):
                places[model] = places.get(model, 0) + 1
    shared = [model for model, count in places.items() if count > 1]
    return {model: _letter(index) for index, model in enumerate(shared)}


def _letter(index: int) -> str:
    """
    >>> [_letter(0), _letter(25), _letter(26)]
    ['A', 'Z', 'A2']
    """
    turn, place = divmod(index, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")
