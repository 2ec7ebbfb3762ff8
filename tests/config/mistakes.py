"""Mistakes that can be made anywhere in any config, each with where it has to be told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path as File

from planting import Path, Planted, Source, together
from small_config import CONFIG

EXAMPLES = File(__file__).resolve().parents[2] / "examples"


def sources() -> dict[str, Source]:
    """The right configs that mistakes are made in."""
    found = {"small": Source(json.dumps(CONFIG, indent=4))}
    # As the example was before it needed no "cut": more nodes, and more that can be wrong.
    gan = File(__file__).parent / "gan_of_three_nodes.json"
    found["gan"] = Source(gan.read_text(encoding="utf-8"))
    for name in ("translation", "digits", "distillation"):
        text = (EXAMPLES / name / "training.json").read_text(encoding="utf-8")
        found[name] = Source(text)
    return found


# Mistakes that can be made anywhere


def of_the_user(path: Path) -> bool:
    """Whether a key is not of the language, but a name or an argument of the user's."""
    return any(key in ("args", "kwargs") for key in path[:-1]) or (
        len(path) > 1 and path[-2] in ("pipelines", "debug_pipelines", "ingoing_edges", "taps")
    )


def misspelt(word: str) -> str:
    """A word with its last letters exchanged."""
    swapped = word[:-2] + word[-1] + word[-2]
    return swapped if len(word) > 3 and swapped != word else word + word[-1]


def misspelt_keys(source: Source) -> Iterator[tuple[str, Planted]]:
    """Every key of the language, misspelt."""
    for path in source.keys:
        if not of_the_user(path):
            key = misspelt(str(path[-1]))
            yield f"{shown(path)} misspelt", source.key(path, key, f'unknown key "{key}"')


WRONG = {
    str: ("7", "[]", "{}", "true", '["a"]'),
    list: ("7", '"text"', '{"a": 1}', "true"),
    dict: ("7", '"text"', "[7]", "false"),
    int: ('"text"', "[]", "true", "-3", "1.5"),
    float: ('"text"', "[]", "true"),
    bool: (),
}


def wrong_types(source: Source) -> Iterator[tuple[str, Planted]]:
    """Every value of the language, replaced by something of another type."""
    for path in source.keys:
        if not any(key in ("args", "kwargs") for key in path[:-1]):
            for text in WRONG[type(source.get(path))]:
                if text == '["a"]' and may_be_several(source, path):
                    continue
                if path[-1] == "weight" and text in ("1.5", "-3"):
                    continue
                if text.startswith("{") and path[-1] in ("inputs", "outputs"):
                    # As an object it has names, and this is none.
                    text = '{"a": §1}'
                yield f"{shown(path)} is {text}", source.value(path, text, " ")


def may_be_several(source: Source, path: Path) -> bool:
    """Whether a list of names may stand in the place of a name."""
    if path[4:5] == ("neural_graph",) and path[6:] == ("optimizer_name",):
        return True
    is_of_a_definition = path[1:2] == ("definitions",) and path[3:] == ("spec", "model")
    return is_of_a_definition and source.get((*path[:3], "group")) in SEVERAL


SEVERAL = ("optimizers", "gradient_clippers")

REQUIRED = {
    *("group", "name", "spec", "dataset_name", "ratio", "dataset", "model", "inputs", "outputs"),
    *("model_name", "nodes", "loader_factory", "input_factories", "loss_name", "metric_name"),
    *("training_pipelines", "definitions", "initialize"),
}


ONE_OF = {
    "loader_factory": 'one of "loader_factory" and "from_pipeline" is needed',
    "ratio": 'one of "ratio" and "folds" is needed',
}
"""What is told of a key in whose place another may stand."""


def missing_keys(source: Source) -> Iterator[tuple[str, Planted]]:
    """Every key that is needed, left out."""
    for path in source.keys:
        may_be_missing = path[:2] == ("train", "stages") and path[-1] == "name"
        if path[-1] in REQUIRED and not may_be_missing and not of_the_user(path):
            word = ONE_OF.get(str(path[-1]), f'"{path[-1]}" is missing')
            yield f"{shown(path)} is missing", source.drop(path, word)


NAMES = {
    "model": "models",
    "model_name": "models",
    "optimizer_name": "optimizers",
    "dataset": "data",
    "dataset_name": "data",
    "link": "data",
    "fit": "data",
    "collator": "collators",
    "loader_factory": "loader_factories",
    "loss_name": "losses",
    "metric_name": "metrics",
    "graph": "batch_graphs",
    "preprocessors": "preprocessors",
    "nodes": "batch_processors",
    "training_pipelines": "pipelines",
    "validation_pipelines": "pipelines",
}


def references(source: Source) -> Iterator[tuple[str, str, Path]]:
    """Every name of something that is defined elsewhere: its group, the name, the place."""
    for path in source.values:
        value = source.get(path)
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        if isinstance(value, str) and key in NAMES and not of_the_user(path):
            yield NAMES[key], value, path


def undefined_names(source: Source) -> Iterator[tuple[str, Planted]]:
    """Every name of something, replaced by a name that nothing has, far and near."""
    for _, value, path in references(source):
        yield f"{shown(path)} names nothing", source.name(path, "nowhere")
        yield f"{shown(path)} misspells its name", source.name(path, misspelt(value))


def definitions(source: Source) -> Iterator[tuple[str, str, Path]]:
    """Everything that is defined: its group, its name, the place."""
    for index, definition in enumerate(source.data["initialize"]["definitions"]):
        group = definition["group"]
        is_data = group in ("datasets", "splits")
        path: Path = ("initialize", "definitions", index)
        yield "data" if is_data else group, definition["name"], path
    for name in source.data["initialize"]["pipelines"]:
        yield "pipelines", name, ("initialize", "pipelines", name)


def missing_definitions(source: Source) -> Iterator[tuple[str, Planted]]:
    """Every definition, removed or renamed: each use of it is told."""
    uses = list(references(source))
    for group, name, path in definitions(source):
        places = [
            place
            for kind, used, place in uses
            if kind == group and used.split(".")[0] == name and place[: len(path)] != path
        ]
        told = together(source.at(place, f'"{source.get(place)}"') for place in places)
        is_only = len(source.get(path[:-1])) == 1
        if not is_only and (group, name) != ("batch_processors", "classifier"):
            yield f"{group} {name} is removed", source.drop(path) + told
        if group == "pipelines":
            renamed = source.key(path, misspelt(name), "")
        else:
            renamed = source.name((*path, "name"), misspelt(name))
        yield f"{group} {name} is renamed", Planted(renamed.edits) + told


def shown(path: Path) -> str:
    """A path as text."""
    return ".".join(map(str, path))


def light(source: Source) -> dict[str, Planted]:
    """Mistakes that leave everything else readable."""
    found = dict(misspelt_keys(source))
    for title, planted in undefined_names(source):
        if title.endswith("misspells its name"):
            found[title] = planted
    for path in source.keys:
        is_plain = not isinstance(source.get(path), (dict, list))
        is_argument = any(key in ("args", "kwargs") for key in path)
        is_adapter = any(key in ("input_adapter", "output_adapter") for key in path)
        if may_be_several(source, path):
            continue
        if is_plain and not is_argument and not is_adapter and path[-1] not in ("name", "group"):
            found[f"{shown(path)} is a list"] = source.value(path, '["a"]', "found a list of 1")
    return found
