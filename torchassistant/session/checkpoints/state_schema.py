"""Whether what a checkpoint holds has the form in which states are written.

Its digests say that nothing has changed since somebody wrote it, and nothing of who that was. All
of it is read here before any of it is used: what is whole and malformed is answered as what is
damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch

from torchassistant.config import Spec, read, spec_of
from torchassistant.data import expect_random_state, is_port_state, is_sampler_state
from torchassistant.errors import ConfigError
from torchassistant.files import InvalidFile, parsed_json
from torchassistant.session.checkpoints.bundle import read_shared, read_state
from torchassistant.session.files.append_only_logs import (
    METRICS,
    PICTURES,
    SAMPLES,
    STEPS,
    TIMES,
    is_log,
    stage_of,
)
from torchassistant.session.files.durable_files import Take, read_json
from torchassistant.session.files.manifest import Damaged, Manifest
from torchassistant.session.history.history import (
    ALWAYS_IN_STEPS,
    ALWAYS_IN_TIMES,
    parsed_pictures,
    parsed_rows,
)
from torchassistant.session.history.row_data import decoded
from torchassistant.session.history.stored_samples import parsed_samples
from torchassistant.training import PassProgress, Progress, Row, step_of

SPEC, CODE, STATE = "spec.json", "code.json", "state"

_MOST = 2**63 - 1

_SECTIONS = {
    2: ("generators", "samplers", "training", "modules", "buffers", "extra state"),
    3: ("generators", "samplers", "training", "results", "buffers", "extra_state"),
}


def stored_state(
    folder: Path,
    name: str,
    files: Collection[str],
    device: torch.device | None = None,
    take: Take | None = None,
) -> Any:
    """The state that was added to a checkpoint under a name; see :func:`read_state`.

    Raises:
        FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
        Damaged: It is not as states are written.
    """
    with _blaming(f"{name}.json"):
        return read_state(folder, name, files, device, take)


def stored_tensors(
    folder: Path, name: str, files: Collection[str], take: Take | None = None
) -> dict[str, torch.Tensor]:
    """The tensors that were added to a checkpoint under a name; see :func:`read_shared`.

    Raises:
        FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
        Damaged: They are not as tensors are written.
    """
    with _blaming(f"{name}.safetensors"):
        return read_shared(folder, f"{name}.safetensors", files, take)


def stored_spec(manifest: Manifest) -> dict[str, Any]:
    """The config that a state was saved with, as data.

    Raises:
        Damaged: It is no object of JSON.
    """
    with _blaming(SPEC):
        data = parsed_json(manifest.text(SPEC))
        _expect(isinstance(data, dict), "is not a config")
    return dict(data)


def expect_form(folder: Path, manifest: Manifest, logs: Mapping[str, bytes] | None) -> Spec:
    """See that all that a checkpoint holds has the form in which states are written.

    Args:
        folder: Its folder.
        manifest: What it says that it holds; the files are as it says.
        logs: The history up to it, by names of files; None where it is not needed.

    Returns:
        The config that it was saved with.

    Raises:
        FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
        Damaged: It has not; the message names the file.
    """
    _expect_files(manifest)
    spec = _spec(manifest)
    rows = None if logs is None else _rows(logs)
    with _blaming(CODE):
        _expect_code(read_json(folder / CODE))
    for name in manifest.files:
        group, _, rest = name.partition("/")
        if group == "optimizers" and rest.endswith(".json"):
            key = name.removesuffix(".json")
            state = stored_state(folder, key, manifest.files, take=_form_of)
            with _blaming(name):
                _expect(is_optimizer_state(state), "is not the state of an optimizer")
    state = stored_state(folder, STATE, manifest.files)
    with _blaming(f"{STATE}.json"):
        _expect_state(state, manifest.format)
        progress = _progress(state["progress"])
        untold = state.get("callbacks", {}).get("untold")
        _expect(
            untold is None or untold < max(len(spec.train.stages), 1),
            "tells of the end of a stage that there is not",
        )
        _expect_to_fit(progress, int(folder.name.partition("-")[0]), spec, rows)
    return spec


def is_optimizer_state(state: Any) -> bool:
    """Whether something may be the state of an optimizer, in torch's form or in another."""
    if not isinstance(state, dict):
        return False
    if not {"state", "param_groups"} <= state.keys():
        return bool(state)
    groups = state["param_groups"]
    return (
        isinstance(groups, list)
        and all(isinstance(g, dict) and isinstance(g.get("params"), list) for g in groups)
        and all(type(index) is int for g in groups for index in g["params"])
        and isinstance(state["state"], dict)
        and all(isinstance(own, dict) for own in state["state"].values())
    )


def _form_of(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """As it is by dtype and shape, in hardly any memory where it is of floating point."""
    return tensor.new_zeros(()).expand(tensor.shape) if tensor.is_floating_point() else tensor


class _blaming:
    """What raises in here is wrong with a file of the checkpoint."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, InvalidFile):
            raise Damaged(f"{self.name} {error}") from None


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise InvalidFile(what)


def _expect_files(manifest: Manifest) -> None:
    for name in (f"{STATE}.json", CODE):
        if name not in manifest.files:
            raise Damaged(f"{name} is missing in its manifest")
    for name, told in manifest.session.items() if manifest.has_logs else ():
        if is_log(name) or ("text" in told and name != SPEC):
            raise Damaged(f"its manifest tells of {name} as earlier versions did")


def _spec(manifest: Manifest) -> Spec:
    data = stored_spec(manifest)
    try:
        diagnostics = read(data, variables=False)
        spec = spec_of(diagnostics)
        diagnostics.raise_if_any()
    except ConfigError as error:
        raise Damaged(f"{SPEC} is not a usable config: {error.problems[0]}") from None
    assert spec is not None, "what is past repair has problems"
    return spec


class _Rows(NamedTuple):
    """The rows of each stage that has any.

    Args:
        of_epochs: Those of epochs, and of validations within one.
        of_steps: Those that ``log`` asked for.
    """

    of_epochs: Mapping[int, list[Row]]
    of_steps: Mapping[int, list[Row]]


def _rows(logs: Mapping[str, bytes]) -> _Rows:
    """The history.

    Raises:
        Damaged: A file is none.
    """
    of_epochs: dict[int, list[Row]] = {}
    of_steps: dict[int, list[Row]] = {}
    for name, text in logs.items():
        with _blaming(name):
            stage = stage_of(name)
            if name.startswith(f"{METRICS}/{STEPS}") and stage is not None:
                of_steps[stage] = parsed_rows(text, ALWAYS_IN_STEPS)
            elif stage is not None:
                of_epochs[stage] = parsed_rows(text)
            elif name == TIMES:
                parsed_rows(text, ALWAYS_IN_TIMES)
            elif name == PICTURES:
                parsed_pictures(text)
            elif name == SAMPLES:
                parsed_samples(text)
            elif name.startswith(f"{METRICS}/"):
                decoded(text)
    return _Rows(of_epochs, of_steps)


def _expect_code(code: Any) -> None:
    is_table = isinstance(code, dict) and all(isinstance(found, dict) for found in code.values())
    texts = (text for found in code.values() for text in found.values()) if is_table else ()
    _expect(is_table and all(isinstance(t, str) for t in texts), "is not a table of source code")


def _expect_state(state: Any, written: int) -> None:
    _expect(isinstance(state, dict), "is not the state of a session")
    sections = _SECTIONS[min(written, max(_SECTIONS))]
    for key in ("progress", "random", "environment", *sections):
        _expect(isinstance(state.get(key), dict), f'has no table "{key}"')
        _expect(all(isinstance(name, str) for name in state[key]), f'has no names in "{key}"')
    known = {"progress", "random", "environment", "callbacks", "parts", *sections}
    unknown = sorted(state.keys() - known)
    _expect(not unknown, f"has a section that nobody knows, {unknown[:1]}")
    tables = [state["environment"], *filter(_is_table, state["environment"].values())]
    plain = (str, int, float, type(None))
    _expect(
        all(isinstance(v, plain) or _is_table(v) for table in tables for v in table.values()),
        "does not say under what it was saved",
    )
    buffers, extra = state["buffers"], state[sections[-1]]
    for key, own in buffers.items():
        _expect(
            _is_table(own, lambda value: value is None or isinstance(value, torch.Tensor)),
            f'has no buffers of "{key}"',
        )
    for key, own in extra.items():
        _expect(_is_table(own), f'has no table for "{key}"')
    are_states = _is_table(state.get("parts", {}), lambda own: isinstance(own, list) and own)
    _expect(are_states, "does not say what objects have kept for parts of batches")
    if "callbacks" in state:
        _expect(_is_callbacks(state["callbacks"]), "does not say what callbacks have heard")
    for key, own in state["samplers"].items():
        _expect(is_sampler_state(own), f'has no state of the sampler of "{key}"')
    try:
        expect_random_state(state["random"])
    except Exception as error:
        raise InvalidFile(f"has no state of random number generators ({error})") from None


def _is_callbacks(data: Any) -> bool:
    """Whether something has the form of what a run stores of its callbacks."""
    keys = {"stop", "untold", "is_end_untold", "epoch_told", "iteration_told", "own", "given"}
    return (
        _is_table(data)
        and data.keys() == keys
        and data["stop"] in ("", "stage", "training")
        and (data["untold"] is None or _is_count(data["untold"]))
        and type(data["is_end_untold"]) is bool
        and _is_count(data["epoch_told"])
        and _is_count(data["iteration_told"])
        and _is_table(data["own"], _is_own)
        and _is_table(data["given"], _is_given)
    )


def _is_own(data: Any) -> bool:
    keys = {"generator", "added"}
    if not (_is_table(data) and keys <= data.keys() <= {*keys, "means"}):
        return False
    try:
        torch.Generator().set_state(data["generator"])
    except Exception:
        return False
    if not _is_table(data.get("means", {}), _is_mean):
        return False
    return _is_table(data["added"], _is_number)


def _is_given(data: Any) -> bool:
    return (
        _is_table(data)
        and {"generators"} <= data.keys() <= {"generators", "state"}
        and _is_table(data["generators"])
    )


def _progress(data: dict[str, Any]) -> Progress:
    """Where the run is.

    Raises:
        InvalidFile: That is not what it says.
    """
    what = "does not say how far the run had come"
    counts = {key: value for key, value in data.items() if key not in ("within", "passes")}
    _expect(counts.keys() == {f.name for f in fields(Progress)} - {"within", "passes"}, what)
    _expect(all(_is_count(value) for value in counts.values()), what)
    _expect(_is_table(data.get("passes", {}), _is_count), what)
    within = data.get("within")
    if within is not None:
        _expect(_is_table(within) and within.keys() == {"iterations", "seconds", "passes"}, what)
        _expect(_is_count(within["iterations"]) and _is_seconds(within["seconds"]), what)
        _expect(_is_table(within["passes"], _is_pass), what)
    return Progress.of(data)


def _is_pass(data: Any) -> bool:
    known = {f.name for f in fields(PassProgress)}
    if not _is_table(data) or not {"batches", "done", "losses"} <= data.keys() <= known:
        return False
    loaders = data.get("data")
    return (
        _is_count(data["batches"])
        and type(data["done"]) is bool
        and all(_is_count(data.get(key, 0)) for key in ("skipped", "rounds", "steps"))
        and (data.get("number") is None or _is_count(data["number"]))
        and _is_table(data["losses"], _is_mean)
        and _is_carried(data.get("carry", {}))
        and _is_of_metrics(data.get("metrics", {}))
        and (loaders is None or _is_table(loaders, is_port_state))
    )


def _is_carried(data: Any) -> bool:
    """Whether something has the form of what is carried on, of whole batches or of their parts."""
    parts = data if isinstance(data, list) else [data]
    return all(_is_table(part, _is_carry) for part in parts)


def _is_carry(data: Any) -> bool:
    """Whether something has the form of what a processor carries from batch to batch."""
    return (
        _is_table(data)
        and data.keys() == {"examples", "nodes"}
        and _is_count(data["examples"])
        and _is_table(data["nodes"], lambda node: _is_table(node, _is_state))
    )


def _is_of_metrics(data: Any) -> bool:
    """Whether something has the form of what metrics have counted in an epoch."""
    return data == {} or (
        _is_table(data)
        and data.keys() == {"steps", "is_empty", "metrics"}
        and _is_count(data["steps"])
        and type(data["is_empty"]) is bool
        and _is_table(data["metrics"], _is_of_metric)
    )


def _is_of_metric(data: Any) -> bool:
    if not _is_table(data) or data.keys() == {"own"}:
        return _is_table(data)
    return (
        data.keys() == {"data", "moved", "generators"}
        and _is_table(data["data"], lambda own: isinstance(own, dict))
        and isinstance(data["moved"], list)
        and all(isinstance(path, str) for path in data["moved"])
        and _is_table(data["generators"])
    )


def _is_state(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_state, value))
    if isinstance(value, dict):
        return all(map(_is_state, value.values()))
    return value is None or isinstance(value, torch.Tensor)


def _is_mean(data: Any) -> bool:
    is_pair = isinstance(data, (list, tuple)) and len(data) == 2
    return is_pair and all(map(_is_number, data)) and abs(data[1]) <= _MOST


def _is_number(value: Any) -> bool:
    """Whether something is a number that is a float, or becomes one."""
    return type(value) is float or (type(value) is int and abs(value) <= _MOST)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _MOST


def _is_table(value: Any, fits: Callable[[Any], object] = lambda value: True) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and fits(item) for key, item in value.items()
    )


def _epochs_done(progress: Progress, rows: Mapping[int, list[Row]]) -> int:
    """How many epochs the history has rows of, without the one that is under way."""
    epochs = {row["epoch"] for found in rows.values() for row in found}
    return len(epochs) - (progress.within is not None and progress.epoch + 1 in epochs)


def _expect_to_fit(progress: Progress, step: int, spec: Spec, rows: _Rows | None) -> None:
    """See that the progress fits what else is stored."""
    stages = spec.train.stages
    _expect(progress.step == step, f"is of iteration {progress.step}, and its folder of {step}")
    _expect(
        progress.stage <= len(stages),
        f"is of stage {progress.stage + 1}, and there are {len(stages)}",
    )
    stages_with_rows = [] if rows is None else [*rows.of_epochs, *rows.of_steps]
    begun = max(stages_with_rows, default=0)
    _expect(begun < max(len(stages), 1), f"has a history of stage {begun + 1}")
    epochs = progress.epoch if rows is None else _epochs_done(progress, rows.of_epochs)
    _expect(
        progress.epoch == epochs and progress.stage_epoch <= epochs,
        f"is of epoch {progress.epoch}, and the history has {epochs}",
    )
    files = [] if rows is None else [*rows.of_epochs.values(), *rows.of_steps.values()]
    last = max((step_of(row) for found in files for row in found), default=0)
    _expect(last <= step, f"is of iteration {step}, and the history goes on to {last}")
    _expect(progress.stage_step <= progress.step, "has more iterations of a stage than of all")
    trained = {name for stage in stages for name in stage.trained_pipelines}
    passes = progress.within.passes if progress.within is not None else {}
    _expect(passes.keys() <= trained, "is halfway through something that is not a pipeline")
