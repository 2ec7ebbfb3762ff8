"""Mistakes in one place of one config, each with where it has to be told."""

from __future__ import annotations

from collections.abc import Callable

from planting import Planted, Source, together

Mistake = Callable[[Source], Planted]

STAGE = "train.stages[0]"
FIT = "initialize.pipelines.fit"
NODE = "@batch_processors.processor.spec.neural_graph[0]"
DEFINITIONS = "initialize.definitions"


def defined(group: str, name: str, spec: str, word: str) -> Mistake:
    """One more definition; ``§`` stands where the message must be."""
    text = f'{{"group": "{group}",\n "name": {name},\n "spec": {spec}}}'
    return lambda s: s.put(DEFINITIONS, text, word)


def put(path: str, text: str, word: str) -> Mistake:
    """One more key or item."""
    return lambda s: s.put(path, text, word)


def value(path: str, text: str, word: str) -> Mistake:
    """Another value."""
    return lambda s: s.value(path, text, word)


def drop(path: str, word: str) -> Mistake:
    """A key less, which is told of what holds it."""
    return lambda s: s.drop(path, word)


def key(path: str, new: str, word: str) -> Mistake:
    """Another key."""
    return lambda s: s.key(path, new, word)


def moved(mistake: Mistake, *told: tuple[str, str]) -> Mistake:
    """A mistake that is not told where it was made, but at other places."""

    def plant(source: Source) -> Planted:
        places = together(source.at(path, word) for path, word in told)
        return Planted(mistake(source).edits) + places

    return plant


def silent(planted: Planted) -> Planted:
    """The same edits, without anything that has to be told."""
    return Planted(planted.edits)


def warned(mistake: Mistake) -> Mistake:
    """What is told as a warning."""

    def plant(source: Source) -> Planted:
        planted = mistake(source)
        return Planted(planted.edits, tuple(r._replace(warns=True) for r in planted.reports))

    return plant


OTHER = '{"group": "models", "name": "other", "spec": {"class": "pkg.Other"}}'

SMALL: dict[str, Mistake] = {
    # text
    "NaN": put("@models.net.spec", '"kwargs": {"x": §NaN}', '"NaN" is not a JSON value'),
    "Python's True": put("@models.net.spec", '"kwargs": {"x": §True}', "JSON writes true"),
    "Python's None": value("@preprocessors.scale.spec.fit", "None", "JSON writes null"),
    "a number with a leading zero": value(
        "@optimizers.adam.spec.kwargs.lr", "01", "not a valid JSON number"
    ),
    "a number without its zero": value(
        "@optimizers.adam.spec.kwargs.lr", ".1", "not a valid JSON number"
    ),
    "a string without quotes": value("@losses.mse.spec.class", "MSELoss", "stand in quotes"),
    "single quotes": value("@losses.mse.spec.class", "'MSELoss'", "double quotes"),
    "a key twice": put("@models.net.spec", '§"class": "pkg.Other"', "is given twice"),
    "a name twice": put("@models.net", '§"name": "other"', "is given twice"),
    "an object twice": put(FIT, '§"graph": "graph"', "is given twice"),
    "a trailing comma in an object": value(
        "@models.net.spec", '{"class": "pkg.Net",§}', "a comma is not allowed"
    ),
    "a trailing comma in a list": value(
        "@losses.mse.spec.inputs", '["y_hat", "y",§]', "a comma is not allowed"
    ),
    "a missing comma": value("@models.net.spec", '{"class": "pkg.Net"\n§"kwargs": {}}', "a comma"),
    "a missing comma in a list": value("@losses.mse.spec.inputs", '["y_hat" §"y"]', "a comma"),
    "two commas": value("@losses.mse.spec.inputs", '["y_hat",§, "y"]', "before this comma"),
    "a missing colon": value("@models.net.spec", '{"class" §"pkg.Net"}', "a colon"),
    "a bare key": value("@models.net.spec", '{§class: "pkg.Net"}', "double quotes"),
    "a missing value": value("@models.net.spec", '{"class": "pkg.Net", "args": §}', "no value"),
    "a comment of Python": value("@models.net.spec", '{§# net\n"class": "pkg.Net"}', '"//"'),
    "half a surrogate pair": value("@models.net.spec.class", '"pkg.\\ud800"', "surrogate"),
    "a name of half a pair": value("@models.net.name", '"\\ud800"', "surrogate"),
    "a Windows path": put("@models.net.spec", '"args": ["C:§\\data"]', "escape"),
    "a string without its end": value(
        "@models.net.spec", '{"class": "pkg.Net§\n}', "control character"
    ),
    # keys
    "a key at the top": put("", '§"sede": 1', 'did you mean "seed"'),
    "a far key at the top": put("", '§"epochs": 10', 'unknown key "epochs"'),
    "an argument outside of kwargs": put(
        "@optimizers.adam.spec", '§"lr": 0.1', 'arguments stand under "kwargs"'
    ),
    "an argument beside class": put(
        f"{STAGE}.stop_condition", '§"num_epochs": 5', 'arguments stand under "kwargs"'
    ),
    "a batch size outside of kwargs": put(
        "@loader_factories.batches.spec", '§"batch_size": 5', 'unknown key "batch_size"'
    ),
    "a momentum outside of kwargs": put(
        "@optimizers.adam.spec", '§"momentum": 5', 'arguments stand under "kwargs"'
    ),
    "type in place of class": key("@models.net.spec.class", "type", 'did you mean "class"'),
    "columns in place of inputs": key("@losses.mse.spec.inputs", "cols", 'did you mean "inputs"'),
    "loss in place of loss_name": key(f"{FIT}.losses[0].loss_name", "loss", '"loss_name"'),
    "a key beside group": put("@models.net", '§"class": "pkg.Net"', 'unknown key "class"'),
    "a misspelt later name": key(
        f"{FIT}.input_factories", "input_injecter", 'did you mean "input_injector"'
    ),
    "a misspelt later port": key(
        "@batch_graphs.graph.spec.input_aliases", "input_prots", 'did you mean "input_ports"'
    ),
    "one key under two names": put(
        FIT,
        '§"input_injector": [{"loader_factory": "batches"}]',
        'another name for "input_factories"',
    ),
    # groups and names
    "a group in the singular": value("@models.net.group", '"model"', 'did you mean "models"'),
    "a later group in the singular": value(
        "@loader_factories.batches.group", '"data_loader"', 'did you mean "data_loaders"'
    ),
    "a group that is none": value("@models.net.group", '"things"', 'unknown group "things"'),
    "a group that is a number": value("@splits.parts.group", "7", "expected a group, found 7"),
    "no group": drop("@models.net.group", '"group" is missing'),
    "a misspelt key for the group": key("@models.net.group", "gruop", 'did you mean "group"'),
    "a loss among the metrics": moved(
        value("@losses.mse.group", '"metrics"', ""),
        (f"{FIT}.losses[0].loss_name", 'defined in the group "metrics"'),
    ),
    "a model where an optimizer is": value(
        f"{NODE}.optimizer_name", '"net"', 'defined in the group "models"'
    ),
    "defined twice": defined("models", '§"net"', '{"class": "pkg.Other"}', "defined twice"),
    "one file": defined("datasets", '§"Numbers"', '{"class": "C"}', "one file on some"),
    "a name with a slash": defined("collators", '§"a/b"', '{"class": "C"}', "it holds '/'"),
    "a name that goes up": defined("collators", '§".."', '{"class": "C"}', "a dot or a blank"),
    "a name of Windows": defined("collators", '§"con"', '{"class": "C"}', "reserve"),
    "an empty name": defined("collators", '§""', '{"class": "C"}', "not empty"),
    "a name of two lines": defined("collators", '§"a\\nb"', '{"class": "C"}', "control"),
    "a dataset like a slice": defined("datasets", '§"a.b"', '{"class": "C"}', "name slices"),
    "a definition that is a name": put(DEFINITIONS, '§"net"', "expected an object"),
    "undefined in a new definition": defined(
        "gradient_clippers", '"clip"', '{"model": §"ned", "clip_norm": 1.0}', 'named "ned"'
    ),
    "a merge of something undefined": defined(
        "datasets", '"both"', '{"merge": ["numbers", §"parts.tset"]}', 'named "parts.tset"'
    ),
    "an empty merge": defined("datasets", '"both"', '{"merge": §[]}', "at least one"),
    "a slice that is not there": value("@datasets.training.spec.link", '"parts[2]"', "2 slices"),
    # what is made by what
    "class and factory_fn": put("@models.net.spec", '§"factory_fn": "pkg.make"', "only one of"),
    "factory_fn and class": lambda s: (
        silent(s.put("@models.net.spec", '"factory_fn": "pkg.make"', first=True))
        + s.at("@models.net.spec.class", "only one of", key=True)
    ),
    "weights from nowhere": put("@models.net.spec", '"weights": §{"strict": true}', "is needed"),
    "weights from two sources": put(
        "@models.net.spec",
        '"weights": [{"from": "a.safetensors"}, {"from": "session:a", §"factory_fn": "pkg.f"}]',
        "only one of",
    ),
    "a checkpoint of a file": put(
        "@models.net.spec",
        '"weights": {"from": "a.safetensors", §"checkpoint": "best"}',
        'belongs to "from": "session:PATH"',
    ),
    "arguments without a function": put(
        "@models.net.spec",
        '"weights": {"from": "a.safetensors", §"kwargs": {"a": 1}}',
        'belongs to "class" or "factory_fn"',
    ),
    "a name that cannot be renamed": put(
        "@models.net.spec",
        '"weights": {"from": "a.safetensors", "rename": [["a", "b"], §["(", ""]]}',
        "is not a regular expression",
    ),
    "three texts to rename": put(
        "@models.net.spec",
        '"weights": {"from": "a.safetensors", "rename": [§["a", "b", "c"]]}',
        "at most 2",
    ),
    "an optimizer of a file": put(
        "@optimizers.adam.spec",
        '"state": {"from": "adam.safetensors", §"optimizer": "adam"}',
        'belongs to "from": "session:PATH"',
    ),
    "a state from nowhere": put(
        "@optimizers.adam.spec", '"state": §{"change_fn": "pkg.f"}', "is needed"
    ),
    "an optimizer of a function": put(
        "@optimizers.adam.spec",
        '"state": {"factory_fn": "pkg.f", §"optimizer": "adam"}',
        'belongs to "from": "session:PATH"',
    ),
    "a glob twice": put(
        "@models.net.spec",
        '"weights": {"from": "a.safetensors", "exclude": ["a", §"a"]}',
        "is named twice",
    ),
    "the class of weights": put(
        "@models.net.spec", '"weights": {"from": "a", §"class": "pkg.A"}', 'unknown key "class"'
    ),
    "neither class nor factory_fn": drop("@models.net.spec.class", "is needed"),
    "an empty class": value("@models.net.spec.class", '""', "not empty"),
    "class and link": put("@datasets.training.spec", '§"class": "pkg.A"', "only one of"),
    "kwargs of a link": put("@datasets.training.spec", '§"kwargs": {"a": 1}', "belongs to"),
    "a limit without a cache": put(
        "@datasets.training.spec", '§"cache_limit": "1 GB"', 'belongs to "cache"'
    ),
    "compile on an object": defined(
        "batch_processors", '"own"', '{"class": "pkg.P", §"compile": true}', "belongs to"
    ),
    "a mode that is none": put(
        "@batch_processors.processor.spec", '"compile": §"fast"', "'max-autotune'"
    ),
    "a precision that is none": put("", '"precision": §"half"', "'bf16'"),
    "determinism that is neither": put("", '"deterministic": §"yes"', "true or false"),
    "no data": drop("@datasets.numbers.spec.class", "is needed"),
    "class and neural_graph": put(
        "@batch_processors.processor.spec", '§"class": "pkg.P"', "only one of"
    ),
    "an empty stop condition": value(f"{STAGE}.stop_condition", "{}", "is needed"),
    "shares that are not 1": value("@splits.parts.spec.ratio", "[0.5, 0.2]", "add up to 0.7"),
    "a share below 0": value("@splits.parts.spec.ratio", "[1.2, §-0.2]", "greater than 0"),
    "shares and folds": put("@splits.parts.spec", '§"folds": 5', "only one of"),
    "a fold without folds": put("@splits.parts.spec", '§"fold": 1', 'belongs to "folds"'),
    "one fold": put("@splits.parts.spec", '"folds": §1', "greater than or equal to 2"),
    "a fold below 0": put("@splits.parts.spec", '"fold": §-1', "greater than or equal to 0"),
    "a class in no column": put("@splits.parts.spec", '"stratify": §-1', "equal to 0"),
    "classes in a truth value": put("@splits.parts.spec", '"stratify": §true', "whole number"),
    "classes and groups by shares": put(
        "@splits.parts.spec", '"stratify": 1, §"group_by": 2', "only one of"
    ),
    "a share in a string": value("@splits.parts.spec.ratio", '[0.8, §"0.2"]', "a number"),
    "a clipper of a misspelt model among several": defined(
        "gradient_clippers",
        '"clip"',
        '{"model": ["net", §"ned"], "clip_norm": 1.0}',
        'named "ned"',
    ),
    "a clipper of a model twice": defined(
        "gradient_clippers", '"clip"', '{"model": ["net", §"net"], "clip_norm": 1.0}', "named twice"
    ),
    "a clipper of a misspelt optimizer": defined(
        "gradient_clippers",
        '"clip"',
        '{"optimizer": §"adma", "clip_norm": 1.0}',
        'named "adma"; did you mean "adam"?',
    ),
    "a clipper of nothing": defined(
        "gradient_clippers", '"clip"', '§{"clip_norm": 1.0}', '"model" and "optimizer" is needed'
    ),
    "a clipper of a model and an optimizer": defined(
        "gradient_clippers",
        '"clip"',
        '{"model": "net", §"optimizer": "adam", "clip_norm": 1.0}',
        'only one of "model" and "optimizer"',
    ),
    "a clipper without a limit": defined(
        "gradient_clippers", '"clip"', '§{"model": "net"}', '"clip_value" and "clip_norm"'
    ),
    "a gradient penalty of no model": defined(
        "losses",
        '"penalty"',
        '§{"class": "GradientPenalty", "inputs": ["x", "y"]}',
        '"models": ["critic"]',
    ),
    "a hook without its function": defined(
        "forward_hooks", '"hook"', '§{"model": "net"}', '"factory_fn" is missing'
    ),
    # objects among arguments
    "a nested misspelt key": put(
        "@models.net.spec", '"kwargs": {"a": {"class": "A",\n §"kwarg": {}}}', '"kwargs"'
    ),
    "a nested argument outside of kwargs": put(
        "@models.net.spec", '"kwargs": {"a": [{"class": "A",\n §"x": 1}]}', 'unknown key "x"'
    ),
    "a nested class and factory_fn": put(
        "@models.net.spec",
        '"kwargs": {"a": {"class": "A",\n §"factory_fn": "b.c"}}',
        "only one of",
    ),
    "nested args that are no list": put(
        "@models.net.spec", '"args": [{"class": "A", "args": §{}}]', "expected a list"
    ),
    # settings of the run
    "an unknown device": put("", '"device": §"gpu"', 'found "gpu"'),
    "a processor's unknown device": put(
        "@batch_processors.processor.spec", '"device": §"cuda1"', 'found "cuda1"'
    ),
    "a seed below 0": put("", '"seed": §-1', "greater than or equal to 0"),
    "a seed that is a string": put("", '"seed": §"1"', "a whole number"),
    "a huge seed": put("", '"seed": §99999999999999999999', "less than"),
    "checkpoints never": put("", '"checkpoints": {"every_epochs": §0}', "greater than 0"),
    # what measures, listens and is kept
    "a misspelt callback": put("train", '"callbacks": [§"lrs"]', 'named "lrs"'),
    "callbacks in no list": put("train", '"callbacks": §"rates"', "expected a list"),
    "a callback that is no name": put(STAGE, '"callbacks": [§{"class": "A"}]', "expected a string"),
    "a callback of a stage that is not there": put(
        STAGE, '"callbacks": [§"rates"]', 'no callback is named "rates"'
    ),
    "nothing that could run before an epoch": put(
        STAGE, '"run_before_epoch": [§"shake"]', 'no callback and no pipeline is named "shake"'
    ),
    "a callback without its class": defined("callbacks", '"rates"', "§{}", "is needed"),
    "a callback's argument outside of kwargs": defined(
        "callbacks",
        '"rates"',
        '{"class": "LearningRateMonitor",\n§"optimizer": "adam"}',
        'arguments stand under "kwargs"',
    ),
    "a misspelt evaluator": put(
        STAGE, '"evaluators": [{"evaluator": §"blue"}]', 'no evaluator is named "blue"'
    ),
    "an evaluator that is a name": put(STAGE, '"evaluators": [§"bleu"]', "expected an object"),
    "evaluators in no list": put(STAGE, '"evaluators": §{}', "expected a list"),
    "an evaluator without its class": defined("evaluators", '"bleu"', "§{}", "is needed"),
    "parts that nothing is cut into": put(
        "", '"distributed": {"logical_ranks": §0}', "greater than 0"
    ),
    "logical ranks of shared models": put(
        "", '"distributed": {"strategy": "fsdp", §"logical_ranks": 2}', 'cannot go with "fsdp"'
    ),
    "another strategy": put("", '"distributed": {"strategy": §"dpp"}', "'ddp'"),
    "a key of no process": put("", '"distributed": {§"worldsize": 2}', 'unknown key "worldsize"'),
    "a log of nothing": put("", '"log": §{}', '"every_iterations" is missing'),
    "a log never": put("", '"log": {"every_iterations": §0}', "greater than 0"),
    "a log in words": put("", '"log": {"every_iterations": §"often"}', "a whole number"),
    "a log that is a number": put("", '"log": §100', "expected an object"),
    "a misspelt key of a log": put(
        "", '"log": {"every_iterations": 1, §"every_iteration": 2}', 'unknown key "every_iteration"'
    ),
    "no best": put("", '"checkpoints": {"best": §[]}', "at least one"),
    "a best that is a name": put("", '"checkpoints": {"best": §"step"}', "expected"),
    "a best twice": put(
        "",
        '"checkpoints": {"best": [{"monitor": "step"}, {"monitor": §"step", "mode": "max"}]}',
        "is listed twice",
    ),
    "a best without a monitor": put(
        "", '"checkpoints": {"best": [§{"mode": "min"}]}', '"monitor" is missing'
    ),
    "a best's mode": put(
        "", '"checkpoints": {"best": {"monitor": "step", "mode": §"least"}}', "'min' or 'max'"
    ),
    "weights of the best in words": put(
        "", '"checkpoints": {"best": {"monitor": "step", "weights_only": §"yes"}}', "true or false"
    ),
    "a misspelt key of a best": put(
        "",
        '"checkpoints": {"best": [{"monitor": "step", §"weights_onyl": true}]}',
        'did you mean "weights_only"',
    ),
    "an empty folder's name": value("session_dir", '""', "not empty"),
    "a variable that is not there": value("session_dir", '"runs/${nmae}"', 'named "nmae"'),
    # graphs
    "an edge to nowhere": put(
        "@batch_graphs.graph.spec.ingoing_edges", '§"far": ["port"]', '"far" is not a node'
    ),
    "a misspelt edge": key(
        "@batch_graphs.graph.spec.ingoing_edges.processor", "procesor", '"procesor" is not a node'
    ),
    "an edge under another name": key(
        "@batch_graphs.graph.spec.ingoing_edges.processor", "far", '"far" is not a node'
    ),
    "an edge from nowhere": value(
        "@batch_graphs.graph.spec.ingoing_edges.processor[0]", '"prot"', 'did you mean "port"'
    ),
    "an edge from far": value(
        "@batch_graphs.graph.spec.ingoing_edges.processor[0]", '"elsewhere"', "neither a port"
    ),
    "an edge too many": put(
        "@batch_graphs.graph.spec.ingoing_edges.processor", '§"elsewhere"', "neither a port"
    ),
    "an edge twice": put(
        "@batch_graphs.graph.spec.ingoing_edges.processor", '§"port"', 'feeds "processor" twice'
    ),
    "a node that feeds itself": put(
        "@batch_graphs.graph.spec.ingoing_edges.processor", '§"processor"', "form a cycle"
    ),
    "no edges to a node": value(
        "@batch_graphs.graph.spec.ingoing_edges.processor", "[]", "at least one"
    ),
    "a port that feeds nothing": put(
        "@batch_graphs.graph.spec.input_aliases", '§"spare"', 'the port "spare" feeds nothing'
    ),
    "a port twice": put("@batch_graphs.graph.spec.input_aliases", '§"port"', "is listed twice"),
    "a node twice": put("@batch_graphs.graph.spec.nodes", '§"processor"', "is listed twice"),
    "a misspelt port": value(
        "@batch_graphs.graph.spec.input_aliases[0]", '"prot"', 'did you mean "port"'
    ),
    "a port with a processor's name": put(
        "@batch_graphs.graph.spec.input_aliases", '§"processor"', "of a port and of a processor"
    ),
    "definitions that need one another": value(
        "@datasets.numbers.spec", '{"link": §"training"}', "form a cycle"
    ),
    "a dataset that links to itself": value(
        "@datasets.training.spec.link", '"training"', "form a cycle"
    ),
    "a split of its own slice": value(
        "@splits.parts.spec.dataset_name", '"parts.train"', "form a cycle"
    ),
    # nodes
    "an input that nobody gives": put(f"{NODE}.inputs", '§"mask"', 'the input "mask"'),
    "a misspelt input": value(f"{NODE}.inputs[0]", '"X"', 'the input "X"'),
    "an input twice": put(f"{NODE}.inputs", '§"x"', '"x" is named twice'),
    "an output twice": put(f"{NODE}.outputs", '§"y_hat"', "already an output"),
    "a tap of another model": put(NODE, '"taps": {"h": §"other:layer"}', "a tap is of the model"),
    "a tap that is no place": put(NODE, '"taps": {"h": §"layer@output"}', "@input"),
    "a tap of what is compiled": put(
        NODE, '"taps": {"h": "layer"}, §"compile": true', "makes one piece of a model"
    ),
    "a carry to no input": put(NODE, '"carry": {§"hidden": "y_hat"}', 'has no input "hidden"'),
    "a carry of no output": value(
        f"{NODE}.inputs", '["x", "h"], "carry": {"h": §"nowhere"}', "no node of this processor"
    ),
    "a carry of a column": moved(
        put(NODE, '"carry": {"x": "y_hat"}', ""),
        (f"{NODE}.inputs[0]", "is carried from the batch before, and is there already"),
    ),
    "contiguous batches that are shuffled": put(
        "@loader_factories.batches.spec",
        '"contiguous": true, "kwargs": {§"shuffle": true}',
        'cannot be combined with "contiguous"',
    ),
    "a misspelt output": moved(
        value(f"{NODE}.outputs[0]", '"y_het"', ""),
        ("@losses.mse.spec.inputs[0]", 'needs the column "y_hat"'),
    ),
    "two nodes of one name": put(
        "@batch_processors.processor.spec.neural_graph",
        '{"model_name": §"net", "inputs": ["y"], "outputs": ["z"]}',
        "two nodes are named",
    ),
    "two nodes that are given one name": put(
        "@batch_processors.processor.spec.neural_graph",
        '{"model_name": "net",\n"name": §"net", "inputs": ["y"], "outputs": ["z"]}',
        "two nodes are named",
    ),
    "outputs that clash": put(
        "@batch_processors.processor.spec.neural_graph",
        '{"name": "b", "model_name": "net", "inputs": ["y"],\n"outputs": [§"y_hat"]}',
        'already an output of the node "net"',
    ),
    "an input from an output and from the frame": put(
        "@batch_processors.processor.spec.neural_graph",
        '{"name": "b", "model_name": "net", "inputs": ["x"], "outputs": ["y"]},\n'
        '{"name": "c", "model_name": "net", "inputs": ["x", §"y"], "outputs": ["z"]}',
        "two sources",
    ),
    "another model's optimizer": lambda s: (
        s.put(
            "@batch_processors.processor.spec.neural_graph",
            '{"model_name": "other", "inputs": ["x"], "outputs": ["z"],\n'
            '"optimizer_name": §"adam"}',
            'is for the model "net"',
        )
        + silent(s.put(DEFINITIONS, OTHER))
    ),
    "a node's misspelt column of an adapter": put(
        "@batch_processors.processor.spec",
        '"input_adapter": {"class": "SelectInputs",\n"kwargs": {"nodes": {"net": {"x": §"X"}}}}',
        'the column "X"',
    ),
    "a misspelt node of an adapter": put(
        "@batch_processors.processor.spec",
        '"input_adapter": {"class": "SelectInputs",\n"kwargs": {"nodes": {§"nte": {"x": "x"}}}}',
        '"nte" is not a node of this processor',
    ),
    "a misspelt input of an adapter": moved(
        put(
            "@batch_processors.processor.spec",
            '"input_adapter": {"class": "SelectInputs", "args": [{"net": {"xx": "x"}}]}',
            "x",
        ),
        (f"{NODE}.inputs[0]", "neither the input adapter"),
    ),
    "a column that an adapter does not select": moved(
        put(
            "@batch_processors.processor.spec",
            '"output_adapter": {"class": "SelectVariables", "args": [["y_hat"]]}',
            "x",
        ),
        ("@losses.mse.spec.inputs[1]", 'needs the column "y"'),
    ),
    "a column that an adapter cannot select": put(
        "@batch_processors.processor.spec",
        '"output_adapter": {"class": "SelectVariables", "args": [["y_hat", "y", §"z"]]}',
        'the column "z"',
    ),
    # names that are like no other
    "a far dataset": value("@loader_factories.batches.spec.dataset", '"elsewhere"', "no dataset"),
    "a far model": value(f"{NODE}.model_name", '"elsewhere"', "no model"),
    "a far optimizer": value(f"{NODE}.optimizer_name", '"elsewhere"', "no optimizer"),
    "a far processor": value("@batch_graphs.graph.spec.nodes[0]", '"faraway"', "no batch proc"),
    "a far graph": value(f"{FIT}.graph", '"elsewhere"', "no batch graph"),
    "a far loader": value(f"{FIT}.input_factories[0].loader_factory", '"elsewhere"', "no loader"),
    "a far loss": value(f"{FIT}.losses[0].loss_name", '"elsewhere"', "no loss"),
    "a far pipeline": value(f"{STAGE}.training_pipelines[0]", '"elsewhere"', "no pipeline"),
    "a far validation": put(STAGE, '"validation_pipelines": [§"elsewhere"]', "no pipeline"),
    # pipelines
    "a graph for no port": value(f"{FIT}.input_factories[0].input_alias", '"prot"', "no port"),
    "a port fed twice": put(
        f"{FIT}.input_factories",
        '{"loader_factory": "batches",\n"input_alias": §"port"}',
        "is fed twice",
    ),
    "a loader for no port": put(
        f"{FIT}.input_factories", '§{"loader_factory": "batches"}', '"input_alias" is needed'
    ),
    "a list in place of a loader": value(
        f"{FIT}.input_factories",
        '[§[], {"variable_names": ["x", "y"], "loader_factory": "batches"}]',
        "expected an object",
    ),
    "no loader": value(f"{FIT}.input_factories", "[]", "at least one"),
    "columns of a loader as an object": value(
        f"{FIT}.input_factories[0].variable_names",
        '{"a": 1, "b": "x", "c": "x"}',
        "named by a list",
    ),
    "a column twice": put(f"{FIT}.input_factories[0].variable_names", '§"x"', "named twice"),
    "a misspelt column": moved(
        value(f"{FIT}.input_factories[0].variable_names[0]", '"xx"', ""),
        (f"{NODE}.inputs[0]", 'the input "x"'),
    ),
    "a misspelt column of a loss": value("@losses.mse.spec.inputs[1]", '"yy"', '"yy"'),
    "a loss on no node": value(f"{FIT}.losses[0].node_name", '"procesor"', "no node"),
    "a loss on a far node": value(f"{FIT}.losses[0].node_name", '"elsewhere"', "no node"),
    "a loss twice": put(f"{FIT}.losses", '{"loss_name": §"mse"}', "shown twice"),
    "a display name twice": put(
        f"{FIT}.losses",
        '{"loss_name": "mse",\n"loss_display_name": §"mse"}',
        "shown twice",
    ),
    "a display name of a column": put(
        f"{FIT}.losses[0]", '"loss_display_name": §"epoch"', "a column of the history"
    ),
    "a display name of two lines": put(
        f"{FIT}.losses[0]", '"loss_display_name": §"a\\nb"', "control characters"
    ),
    "weights that add up to nothing": value(
        f"{FIT}.losses",
        '[{"loss_name": "mse", "weight": 0}],\n"normalize_weights": §true',
        "weights that add up to 0 cannot be normalized",
    ),
    "no weights to normalize": put(
        "initialize.pipelines",
        '"c": {"normalize_weights": §true,\n"input_factories": [{"loader_factory": "batches"}]}',
        "there are no losses",
    ),
    "an empty weight": put(f"{FIT}.losses[0]", '"weight": §{}', "is needed"),
    "a weight of two kinds": put(
        f"{FIT}.losses[0]",
        '"weight": {"class": "LinearRamp", "args": [0, 1, 5], §"steps": 5}',
        'arguments stand under "kwargs"',
    ),
    "a weight in a list": put(f"{FIT}.losses[0]", '"weight": §[2]', "a number"),
    "a weight in a string": put(f"{FIT}.losses[0]", '"weight": §"2"', "a number"),
    "an undefined metric": put(FIT, '"metrics": [{"metric_name": §"acc"}]', 'named "acc"'),
    "a metric's name in place of a loss's": put(
        FIT, '"metrics": [{"metric_name": §"mse"}]', 'defined in the group "losses"'
    ),
    "a loader that waits": put(
        f"{FIT}.input_factories[0]", '"when_exhausted": §"wait"', "'restart'"
    ),
    "a pass without an end": put(
        f"{FIT}.input_factories[0]", '"when_exhausted": §"restart"', "would never end"
    ),
    "a display prefix that is a number": put(FIT, '"display_prefix": §7', "expected a string"),
    "a display prefix of a formula": moved(
        put(FIT, '"display_prefix": "="', ""), (f"{FIT}.losses[0].loss_name", 'begins with no "="')
    ),
    # likenesses
    "a pipeline like none": put(
        "initialize.pipelines", '"twin": {"like": §"fti"}', 'did you mean "fit"'
    ),
    "a pipeline like itself": put(
        "initialize.pipelines", '"same": {"like": §"same"}', "like itself: same → same"
    ),
    "a pipeline like a number": put(
        "initialize.pipelines", '"seven": {"like": §7}', "expected the name of a pipeline, found 7"
    ),
    "a misspelt likeness": put(
        "initialize.pipelines", '"sister": {§"liek": "fit", "losses": []}', 'did you mean "like"'
    ),
    "a pipeline that takes nothing over": put(
        "initialize.pipelines",
        '"whole": {"like": §"fit", "graph": "graph", "input_factories": '
        '[{"input_alias": "port", "variable_names": ["x", "y"], "loader_factory": "batches"}], '
        '"losses": []}',
        'nothing is taken over from "fit"',
    ),
    "a definition like that of another group": put(
        DEFINITIONS,
        '{"group": "losses", "name": "twin", "like": §"adam"}',
        'no loss is named "adam"',
    ),
    "a stage like none": put(
        "train.stages", '{"name": "second", "like": §"first"}', 'no stage is named "first"'
    ),
    # stages
    "an unknown pipeline": put(STAGE, '"validation_pipelines": [§"fti"]', 'named "fti"'),
    "a pipeline twice": put(f"{STAGE}.training_pipelines", '§"fit"', "is listed twice"),
    "an unknown pipeline of an entry": value(
        f"{STAGE}.training_pipelines[0]", '{"pipeline": §"fti"}', 'did you mean "fit"'
    ),
    "a misspelt key of an entry": value(
        f"{STAGE}.training_pipelines[0]",
        '{"pipeline": "fit", §"repaet": 2}',
        'did you mean "repeat"',
    ),
    "an entry without a pipeline": value(
        f"{STAGE}.training_pipelines[0]", '{"repeat": 2}', "is missing"
    ),
    "no steps": value(
        f"{STAGE}.training_pipelines[0]", '{"pipeline": "fit", "repeat": §0}', "greater than 0"
    ),
    "every iteration by 0": value(
        f"{STAGE}.training_pipelines[0]", '{"pipeline": "fit", "every": §0}', "greater than 0"
    ),
    "from before the beginning": value(
        f"{STAGE}.training_pipelines[0]", '{"pipeline": "fit", "from": §-1}', "or equal to 0"
    ),
    "counted in what is no stage": value(
        f"{STAGE}.training_pipelines[0]",
        '{"pipeline": "fit", "count_in": §"epochs"}',
        "'stage' or 'epoch'",
    ),
    "an entry twice": put(f"{STAGE}.training_pipelines", '{"pipeline": §"fit"}', "is listed twice"),
    "an epoch as long as nothing": put(
        STAGE, '"epoch_length": §"longets"', 'did you mean "longest"'
    ),
    "an epoch as long as another pipeline": put(
        STAGE, '"epoch_length": §"elsewhere"', "neither a training pipeline"
    ),
    "a metric of training that is not there": put(
        STAGE, '"measure_training": [§"nothing"]', 'has a metric that is shown as "nothing"'
    ),
    "an epoch of no iteration": put(STAGE, '"epoch_length": §0', "greater than 0"),
    "no training pipeline": value(f"{STAGE}.training_pipelines", "[]", "at least one"),
    "a pipeline without losses": moved(
        value(f"{FIT}.losses", "[]", ""), (f"{STAGE}.training_pipelines[0]", "has no loss")
    ),
    "a node without its optimizer": moved(
        drop(f"{NODE}.optimizer_name", ""), (f"{STAGE}.training_pipelines[0]", "trains nothing")
    ),
    "an unused optimizer": defined(
        "optimizers", '§"spare"', '{"class": "SGD", "model": "net"}', 'uses the optimizer "spare"'
    ),
    "no stages": value("train.stages", "[]", "at least one"),
    "an unknown mode": put(STAGE, '"mode": §"parallel"', "'interleave'"),
    "an unknown debug pipeline": put(STAGE, '"debug_pipelines": [§"look"]', 'named "look"'),
    "a debug pipeline of a number": put(STAGE, '"debug_pipelines": [§7]', "expected"),
    "a reset in the first stage": put(
        STAGE, '"reset": §["optimizers.adam"]', "nothing has begun before the first stage"
    ),
    "a start from itself": put(
        STAGE, '"start_from": {"stage": §0, "checkpoint": "last"}', "only an earlier stage"
    ),
    "a frozen nothing": put(
        STAGE, '"frozen": [§{"mode": "eval"}]', 'one of "match" and "types" is needed'
    ),
    "a frozen number": put(STAGE, '"frozen": [§7]', "expected"),
    "no evaluation steps": put(STAGE, '"eval_steps": §0', "greater than 0"),
    "too many evaluation steps": put(STAGE, '"eval_steps": §1.5', "expected"),
    "evaluation steps in words": put(STAGE, '"eval_steps": §"all"', "expected"),
    "evaluation steps of no pipeline": put(
        STAGE, '"eval_steps": {§"valid": 3}', "not a validation pipeline of this stage"
    ),
    "a monitor that no row has": value(
        f"{STAGE}.stop_condition",
        '{"class": "EarlyStopping",\n"kwargs": {"monitor": §"val_loss", "patience": 3}}',
        'has "val_loss"',
    ),
    "a monitor by position": value(
        f"{STAGE}.stop_condition",
        '{"class": "torchassistant.stop_conditions.TargetReached", "args": [§"mes", 0.1]}',
        'did you mean "mse"',
    ),
    "a nested monitor": value(
        f"{STAGE}.stop_condition",
        '{"class": "AnyOf",\n"args": [{"class": "EarlyStopping", "args": [§"acc"]}]}',
        'has "acc"',
    ),
    "validation of nothing": put(
        STAGE, '"validate": §{"every_iterations": 5}', "no validation pipelines"
    ),
    "validation after no epoch": put(STAGE, '"validate": {"every_epochs": §0}', "greater than 0"),
    "validation of a misspelt key": put(STAGE, '"validate": {§"every_epoch": 1}', "every_epochs"),
    "validation in words": put(STAGE, '"validate": §"epoch"', "an object"),
    "a scheduler's monitor": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "ReduceLROnPlateau",\n"monitor": §"val loss"}',
        'has "val loss"',
    ),
    "a scheduler's monitor after each step": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "A", "interval": "step",\n"monitor": §"epoch"}',
        "after each step",
    ),
    "a scheduler's interval": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "ExponentialLR",\n"interval": §"batch"}',
        "'epoch' or 'step'",
    ),
    "a warmup of no steps": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "ExponentialLR",\n"warmup": {"steps": §0}}',
        "greater than 0",
    ),
    "a warmup from a larger rate": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "A",\n"warmup": {"steps": 2,\n"start_factor": §1.5}}',
        "less than or equal to 1",
    ),
    "a misspelt key of a warmup": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "A",\n"warmup": {"steps": 2,\n§"start_facter": 0.5}}',
        'did you mean "start_factor"?',
    ),
    "a warmup of a scheduler that monitors": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "A", "monitor": "mse",\n§"warmup": {"steps": 2}}',
        'only one of "monitor" and "warmup"',
    ),
    "a monitor beside a warmup that cannot be read": put(
        "@optimizers.adam.spec",
        '"lr_scheduler": {"class": "A",\n"monitor": §7,\n"warmup": {"steps": 2}}',
        "expected a string",
    ),
    "a scheduler without a class": put(
        "@optimizers.adam.spec", '"lr_scheduler": §{"kwargs": {"gamma": 0.9}}', "is needed"
    ),
    "a model that nothing trains": warned(
        defined("models", '§"spare"', '{"class": "A"}', 'trains the model "spare"')
    ),
}

# A gan: several graphs of several processors, ports and pipelines

APART = "@batch_graphs.telling_apart.spec"
DECEIVING = "@batch_graphs.deceiving.spec"
TELLING = "initialize.pipelines.discriminator"
GENERATING = "initialize.pipelines.generator"
DEBUG = f"{STAGE}.debug_pipelines[0]"

GAN: dict[str, Mistake] = {
    "an edge from nowhere": value(f"{APART}.ingoing_edges.cut[0]", '"stil_generator"', "neither"),
    "an edge from far": value(f"{APART}.ingoing_edges.discriminator[1]", '"knife"', "neither"),
    "an edge to nowhere": key(f"{APART}.ingoing_edges.cut", "cutt", "not a node of this graph"),
    "a node without an edge": moved(
        drop(f"{APART}.ingoing_edges.cut", ""), (f"{APART}.nodes[1]", 'no edge leads to "cut"')
    ),
    "a node too many": put(f"{APART}.nodes", '§"generator"', "no edge leads to"),
    "a port that feeds nothing": moved(
        value(f"{APART}.ingoing_edges.discriminator", '["cut"]', ""),
        (f"{APART}.input_aliases[0]", 'the port "digits" feeds nothing'),
    ),
    "a circle of two": value(
        f"{APART}.ingoing_edges.still_generator", '["noise", §"cut"]', "form a cycle"
    ),
    "a circle of three": value(
        f"{APART}.ingoing_edges.still_generator", '["noise", §"discriminator"]', "form a cycle"
    ),
    "an undefined node": value(f"{APART}.nodes[1]", '"cutt"', "no batch processor"),
    "a far node": value(f"{APART}.nodes[0]", '"faraway"', "no batch processor"),
    "a far last node": value(f"{APART}.nodes[2]", '"elsewhere"', "no batch processor"),
    "a far model": value(
        "@batch_processors.generator.spec.neural_graph[0].model_name", '"elsewhere"', "no model"
    ),
    "a far optimizer": value(
        "@batch_processors.generator.spec.neural_graph[0].optimizer_name",
        '"elsewhere"',
        "no optimizer",
    ),
    "a far graph": value(f"{GENERATING}.graph", '"elsewhere"', "no batch graph"),
    "a far pipeline": value(f"{STAGE}.training_pipelines[1]", '"elsewhere"', "no pipeline"),
    "a node of another group": value(
        f"{DECEIVING}.nodes[0]", '"digits"', 'it is defined in the group "datasets"'
    ),
    "a port that is not fed": moved(
        drop(f"{TELLING}.input_factories[1]", ""),
        (f"{TELLING}.input_factories", 'nothing feeds the port "noise"'),
    ),
    "a port fed twice": value(
        f"{TELLING}.input_factories[1].input_alias", '"digits"', "is fed twice"
    ),
    "an unknown port": value(f"{TELLING}.input_factories[1].input_alias", '"noize"', "no port"),
    "no port": drop(f"{TELLING}.input_factories[1].input_alias", '"input_alias" is needed'),
    "no graph": drop(f"{GENERATING}.graph", '"graph" is needed'),
    "no node": drop(f"{GENERATING}.losses[0].node_name", '"node_name" is needed'),
    "an unknown node": value(f"{GENERATING}.losses[0].node_name", '"cut"', "no node"),
    "a node of no processor": value(f"{TELLING}.losses[0].node_name", '"judge"', "no node"),
    "a loss of the wrong node": moved(
        value(f"{GENERATING}.losses[0].node_name", '"generator"', ""),
        ("@losses.cross_entropy.spec.inputs[0]", 'needs the column "realness"'),
    ),
    "frames that share some columns": moved(
        value(f"{TELLING}.input_factories[0].variable_names", '["image", "x"]', ""),
        (f"{APART}.ingoing_edges.discriminator", 'in common ("image")'),
    ),
    "a misspelt column that is joined": value(
        f"{TELLING}.input_factories[0].variable_names[1]", '"lable"', 'did you mean "label"'
    ),
    "a misspelt column": value(
        f"{GENERATING}.input_factories[0].variable_names[0]", '"noize"', 'named "noise"'
    ),
    "a misspelt column of an adapter": value(
        "@batch_processors.still_generator.spec.output_adapter.args[0][1]", '"lable"', '"lable"'
    ),
    "a misspelt input": value(
        "@batch_processors.still_discriminator.spec.neural_graph[0].inputs[0]",
        '"imge"',
        'the input "imge"',
    ),
    "a misspelt output": moved(
        value("@batch_processors.generator.spec.neural_graph[0].outputs[0]", '"imgae"', ""),
        ("@batch_processors.still_discriminator.spec.neural_graph[0].inputs[0]", '"image"'),
        (f"{DEBUG}.output_keys[0]", '"image"'),
    ),
    "a misspelt column to look at": value(f"{DEBUG}.output_keys[0]", '"imagse"', '"imagse"'),
    "another model's optimizer": value(
        "@batch_processors.generator.spec.neural_graph[0].optimizer_name",
        '"discriminator_optimizer"',
        'is for the model "discriminator"',
    ),
    "a model for another optimizer": moved(
        value("@optimizers.generator_optimizer.spec.model", '"discriminator"', ""),
        (
            "@batch_processors.generator.spec.neural_graph[0].optimizer_name",
            'is for the model "discriminator"',
        ),
    ),
    "an optimizer that is not used": moved(
        drop(f"{STAGE}.training_pipelines[1]", ""),
        ("@optimizers.generator_optimizer.name", "no training pipeline uses"),
    ),
    "a device of its own": moved(
        put("@batch_processors.still_generator.spec", '"device": "cuda:1"', ""),
        (
            "@batch_processors.still_generator.spec.neural_graph[0].model_name",
            "on two devices",
        ),
    ),
    "a pipeline without a loss": put(f"{STAGE}.training_pipelines", '§"samples"', "has no loss"),
    "a look without batches": put(DEBUG, '"num_iterations": §0', "greater than 0"),
    "a misspelt key of the look": key(f"{DEBUG}.interval", "intervall", "unknown key"),
    "a look through no graph": value(f"{DEBUG}.graph", '"samplings"', 'named "samplings"'),
    "a checkpoint's fraction": value("checkpoints.keep_last", "1.5", "a whole number"),
    "a top key": key("train", "trian", 'did you mean "train"'),
    "a section": key("initialize.pipelines", "piplines", 'did you mean "pipelines"'),
    "definitions under another name": key(
        "initialize.definitions", "defintions", 'did you mean "definitions"'
    ),
}

# A translation: two nodes in one processor, a split, preprocessors

TRANSLATION: dict[str, Mistake] = {
    "a slice that is not there": value(
        "@datasets.held_out_pairs.spec.link", '"split.test"', "2 slices"
    ),
    "a misspelt slice": value("@datasets.held_out_pairs.spec.link", '"split.vall"', "split.vall"),
    "a slice of no split": value("@datasets.held_out_pairs.spec.link", '"parts.val"', "parts.val"),
    "fitted to what it processes": value(
        "@preprocessors.french_words.spec.fit", '"training_pairs"', "form a cycle"
    ),
    "an undefined preprocessor": value(
        "@datasets.training_pairs.spec.preprocessors[0]", '"frnch_words"', "frnch_words"
    ),
    "a dataset for a collator": value(
        "@loader_factories.training_batches.spec.collator", '"numbers"', "defined in the group"
    ),
    "a misspelt model of a node": value(
        "@batch_processors.translator.spec.neural_graph[1].model_name", '"decoderr"', "decoderr"
    ),
    "outputs that clash": put(
        "@batch_processors.translator.spec.neural_graph[1].outputs", '§"memory"', "already"
    ),
    "exchanged optimizers": value(
        "@batch_processors.translator.spec.neural_graph[0].optimizer_name",
        '"decoder_optimizer"',
        'is for the model "decoder"',
    ),
    "a loss for a metric": value(
        "initialize.pipelines.held_out.metrics[0].metric_name",
        '"cross_entropy"',
        'defined in the group "losses"',
    ),
    "a metric for a loss": value(
        "initialize.pipelines.training.losses[0].loss_name",
        '"wholly_right"',
        'defined in the group "metrics"',
    ),
    "metrics as a table": value("initialize.pipelines.held_out.metrics", "{}", "a list"),
    "a loss's display name in its place": key(
        "initialize.pipelines.training.losses[0].loss_display_name", "display_name", "unknown key"
    ),
    "a far pipeline": value(f"{STAGE}.training_pipelines[0]", '"elsewhere"', "no pipeline"),
    "a far validation": value(f"{STAGE}.validation_pipelines[0]", '"elsewhere"', "no pipeline"),
    "a far metric": value(
        "initialize.pipelines.held_out.metrics[0].metric_name", '"elsewhere"', "no metric"
    ),
    "a far preprocessor": value(
        "@datasets.training_pairs.spec.preprocessors[0]", '"elsewhere"', "no preprocessor"
    ),
    "a share too many": value("@splits.split.spec.ratio", "[0.9, 0.1, 0.1]", "add up to 1.1"),
    "evaluation steps": put(STAGE, '"eval_steps": {§"heldout": 4}', 'did you mean "held_out"'),
    "a monitor of the other pipeline": value(
        f"{STAGE}.stop_condition",
        '{"class": "EarlyStopping", "kwargs": {"monitor": §"held-out los"}}',
        'did you mean "held-out loss"',
    ),
    "a monitor of a metric of training": value(
        f"{STAGE}.stop_condition",
        '{"class": "TargetReached", "args": [§"perplexity", 2.0]}',
        'has "perplexity"',
    ),
    "the misspelt name of a pipeline": moved(
        key("initialize.pipelines.held_out", "heldout", ""),
        (f"{STAGE}.validation_pipelines[0]", 'did you mean "heldout"'),
    ),
    "a stage without pipelines": drop(f"{STAGE}.training_pipelines", "is missing"),
}

# Digits: everything that may be left out is left out

DIGITS: dict[str, Mistake] = {
    "a shared display name": lambda s: (
        silent(s.put(f"{STAGE}.validation_pipelines", '"test"'))
        + s.value(
            "initialize.pipelines.test.losses[0].loss_display_name", '"val loss"', "in one stage"
        )
    ),
    "a shared name of a metric": lambda s: (
        silent(s.put(f"{STAGE}.validation_pipelines", '"test"'))
        + s.value("initialize.pipelines.test.metrics[0].display_name", '"val loss"', "in one stage")
    ),
    "a misspelt column of a loader": value(
        "initialize.pipelines.test.input_factories[0].variable_names[1]", '"label"', '"labels"'
    ),
    "a misspelt column of a metric": value(
        "@metrics.accuracy.spec.inputs[0]", '"score"', 'needs the column "score"'
    ),
    "a node on no processor": put(
        "initialize.pipelines.test.losses[0]", '"node_name": §"clasifier"', "no node"
    ),
    "a graph that is not there": put("initialize.pipelines.test", '"graph": §"graph"', "no batch"),
    "a second model": warned(
        defined("models", '§"spare"', '{"class": "A"}', 'trains the model "spare"')
    ),
    "a second processor": moved(
        defined("batch_processors", '"other"', '{"class": "A"}', ""),
        ("initialize.pipelines.training", "a batch graph is needed"),
        ("initialize.pipelines.validation", "a batch graph is needed"),
        ("initialize.pipelines.test", "a batch graph is needed"),
    ),
    "no processor": moved(
        drop("@batch_processors.classifier", ""),
        ("@losses.cross_entropy.spec.inputs[0]", 'needs the column "scores"'),
        ("@metrics.accuracy.spec.inputs[0]", 'needs the column "scores"'),
    ),
}

# Distillation: two stages

DISTILLATION: dict[str, Mistake] = {
    "a misspelt pipeline of the second stage": value(
        "train.stages[1].training_pipelines[0]", '"student_trainning"', "student_trainning"
    ),
    "a stage that is not trained": moved(
        drop("train.stages[1]", ""), ("@optimizers.student_adam.name", "no training pipeline uses")
    ),
    "two nodes of one name": put(
        "@batch_processors.learning.spec.neural_graph[1]", '"name": §"teacher"', "two nodes"
    ),
    "a nested misspelt key": value(
        "@collators.images_and_labels.spec.kwargs.transforms[0]",
        '{"class": "ImagesToTensor", §"arg": []}',
        'did you mean "args"',
    ),
}


TABLES = {
    "small": SMALL,
    "gan": GAN,
    "translation": TRANSLATION,
    "digits": DIGITS,
    "distillation": DISTILLATION,
}

_NO_SCHEDULER = ("a scheduler's monitor", "a scheduler's monitor after each step")
_NO_NAME = ("a name twice", "a name of half a pair")
_MORE_NODES = (
    *("two nodes of one name", "two nodes that are given one name", "outputs that clash"),
    "an input from an output and from the frame",
)

_ANY_COLUMN = (
    *("a monitor that no row has", "a monitor by position", "a nested monitor"),
    *("a scheduler's monitor", "a scheduler's monitor after each step"),
)
"""What is not told where there are callbacks that nobody knows: they may add columns."""
SPOILS: dict[str, dict[str, tuple[str, ...]]] = {
    "small": {
        "a misspelt callback": _ANY_COLUMN,
        "callbacks in no list": _ANY_COLUMN,
        "a callback that is no name": _ANY_COLUMN,
        "nothing that could run before an epoch": (
            *("a callback without its class", "a callback's argument outside of kwargs"),
        ),
        "a callback of a stage that is not there": (
            *("a callback without its class", "a callback's argument outside of kwargs"),
            *_ANY_COLUMN,
        ),
        # The pipeline that it is of may show what is monitored.
        "an entry without a pipeline": (
            "a scheduler's monitor after each step",
            "an epoch as long as another pipeline",
        ),
        "an epoch as long as nothing": ("no training pipeline",),
        # With another loader, or another port's, a pass has an end.
        "a pass without an end": ("a port fed twice", "a loader for no port"),
        # What is carried need not come from anywhere else; and it is an output, however misspelt.
        "a carry of a column": (
            *("a misspelt column", "a misspelt input of an adapter", "a misspelt output"),
            *("an input twice", "no loader"),
        ),
        "a carry to no input": ("a carry of no output", "a misspelt output"),  # both write the key
        # An entry, or a metric, that cannot be read may be the one.
        "a metric of training that is not there": (
            *("an entry without a pipeline", "no training pipeline", "an undefined metric"),
        ),
        # Two loaders: where there are two ports each has to name its own, and none is known by it.
        "a list in place of a loader": (
            *("a port that feeds nothing", "a port with a processor's name", "a misspelt port"),
        ),
        # It monitors the loss that is shown under another name then, or not at all.
        "a warmup of a scheduler that monitors": (
            *("a display name of two lines", "a display name of a column"),
            "a pipeline without losses",
        ),
        # A second pipeline has all columns, so that the first one's loader has the misspelt one;
        # and where there are two ports it has to name its own.
        "no weights to normalize": (
            *("a misspelt column", "a port with a processor's name", "a port that feeds nothing"),
            "a misspelt input",
        ),
        "a misspelt evaluator": _ANY_COLUMN,
        "an evaluator that is a name": _ANY_COLUMN,
        "evaluators in no list": _ANY_COLUMN,
        "one key under two names": ("a misspelt later name",),
        "an edge from far": ("a port that feeds nothing", "a misspelt port"),
        "an edge too many": ("a port that feeds nothing", "a port with a processor's name"),
        "no loader": (
            *("a misspelt port", "an input that nobody gives", "a misspelt input"),
            *("a misspelt output", "an input from an output and from the frame"),
            *("a misspelt column of a loss", "a node's misspelt column of an adapter"),
            "a column that an adapter cannot select",
        ),
        "another model's optimizer": (
            *(*_NO_NAME, "a misspelt node of an adapter", "a misspelt input of an adapter"),
            "a node's misspelt column of an adapter",
            *("a column that an adapter cannot select", "a misspelt column"),
            "a node without its optimizer",
        ),
        "a model that nothing trains": (
            *_NO_NAME,
            "a node without its optimizer",
        ),
        "a model where an optimizer is": (*_NO_NAME, "a group that is none", "no group"),
        "no group": _NO_NAME,
        "a group that is none": _NO_NAME,
        "defined twice": (*_NO_NAME, "a group that is none", "no group"),
        "factory_fn and class": (
            *("a key twice", "half a surrogate pair", "class and factory_fn"),
            "an empty class",
        ),
        "type in place of class": (
            *("a group that is none", "no group", "a key twice", "class and factory_fn"),
        ),
        "a loss among the metrics": (
            *("a loss twice", "a display name twice"),
            "a metric's name in place of a loss's",
            # The loss may train models by an optimizer of its own.
            "a node without its optimizer",
        ),
        "a node's misspelt column of an adapter": (
            *_MORE_NODES,
            "a misspelt input",
            "a misspelt column",
        ),
        "a misspelt input of an adapter": (*_MORE_NODES, "an input twice", "a misspelt column"),
        "a misspelt node of an adapter": (*_MORE_NODES, "a misspelt column"),
        "a column that an adapter cannot select": (
            *("a misspelt output", "a misspelt column of a loss", "two nodes of one name"),
            "two nodes that are given one name",
            "an input from an output and from the frame",
        ),
        "no training pipeline": (
            *("a scheduler's monitor after each step", "an epoch as long as another pipeline"),
        ),
        "no edges to a node": (
            *("a misspelt edge", "an edge under another name", "a port that feeds nothing"),
            *("a misspelt port", "a port with a processor's name"),
        ),
        "a pipeline without losses": (
            *("a misspelt output", "a column that an adapter does not select"),
            *("a misspelt column of a loss", "a monitor by position"),
        ),
        "a display name of a column": (
            *("a loss twice", "a display name twice", "a monitor by position"),
            "a scheduler's monitor after each step",
        ),
        "a display name of two lines": (
            "a loss twice",
            "a display name twice",
            "a monitor by position",
        ),
        "an edge under another name": (
            "an edge to nowhere",
            "an edge twice",
            "a node that feeds itself",
        ),
        "a misspelt edge": ("an edge twice", "a node that feeds itself"),
        "a misspelt column": (
            *("an input twice", "an input from an output and from the frame"),
            "a column twice",
        ),
        "an edge from nowhere": ("a misspelt port", "a graph for no port"),
        "a misspelt port": ("a graph for no port",),
        "definitions that need one another": (
            "a dataset that links to itself",
            "a split of its own slice",
        ),
        "a misspelt output": ("outputs that clash", "a column that an adapter does not select"),
        "a node without its optimizer": (*_NO_SCHEDULER, "an unused optimizer"),
        "no stages": _NO_SCHEDULER,
        "a far graph": ("an object twice",),
        "a far processor": ("a port with a processor's name",),
        "a far model": (
            "a model that nothing trains",
            "outputs that clash",  # the message calls the node by the name of its model
        ),
        "a far loss": ("a loss twice", "a display name twice"),
    },
    "gan": {
        "no graph": (
            *("no node", "an unknown node", "a loss of the wrong node"),
            *("a misspelt column", "a misspelt input", "a misspelt output"),
        ),
        "a circle of three": (
            *("an edge from nowhere", "an edge from far", "an edge to nowhere"),
            "a node without an edge",
        ),
        "a circle of two": (
            *("an edge from nowhere", "an edge to nowhere", "a node without an edge"),
        ),
        "a misspelt column of an adapter": (
            *("a port that is not fed", "a port fed twice", "no port"),
            *("frames that share some columns", "a misspelt column that is joined"),
        ),
        "a misspelt column that is joined": (
            *("an edge from far", "a node without an edge", "a port that feeds nothing"),
        ),
        "frames that share some columns": ("an edge from far", "a node without an edge"),
        "an optimizer that is not used": ("a node too many", "a model for another optimizer"),
        "a look through no graph": ("a misspelt output", "a misspelt column to look at"),
        "an edge to nowhere": ("an undefined node",),
        "a far model": ("another model's optimizer", "a model for another optimizer"),
    },
    "translation": {
        "a monitor of a metric of training": ("metrics as a table",),
        "a slice that is not there": ("a share too many",),
        "fitted to what it processes": ("an undefined preprocessor",),
        "evaluation steps": ("the misspelt name of a pipeline",),
        "a far preprocessor": ("fitted to what it processes",),
    },
    "digits": {
        "a second processor": (
            *("a misspelt column of a loader", "a misspelt column of a metric"),
            *("a node on no processor", "a graph that is not there", "no processor"),
        ),
        "a graph that is not there": ("a misspelt column of a loader", "a node on no processor"),
        "a second model": ("no processor",),
    },
}
"""Mistakes that are about one thing: one of them leaves nothing to say of the other."""
