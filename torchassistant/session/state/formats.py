"""States of earlier formats, read as if they had been written today."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torchassistant.assembly import Parts
from torchassistant.messages import logger_for
from torchassistant.session.state.stateful_parts import members_of
from torchassistant.training import rarely_counts_samples

_log = logger_for(__name__)

_SENTENCES: tuple[tuple[str, str], ...] = (
    (r'the scheduler of "(.*)"', "schedulers/{}"),
    (r'the gradient scaler of "(.*)"', "pipelines/{}/scaler"),
    (r"the stop condition of stage (\d+)", "stages/{}/stop_condition"),
    (r'the dataset "(.*)"', "datasets/{}"),
    (r'the collator "(.*)"', "collators/{}"),
    (r'the augment of the loader factory "(.*)"', "loader_factories/{}/augment/0"),
    (r'augment (\d+) of the loader factory "(.*)"', "loader_factories/{1}/augment/{0}"),
    (r'the model "(.*)"', "models/{}"),
    (r'the loss "(.*)"', "losses/{}"),
    (r'the transform of the loss "(.*)"', "losses/{}/transform"),
    # An object; of a neural graph, this is an adapter.
    (r'part 0 of the batch processor "(.*)"', "batch_processors/{}"),
)

_SINCE_3 = ("metrics/", "forward_hooks/", "backward_hooks/")
"""Members whose state was not stored before."""


def upgraded(state: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """A ``state.json`` of format 2 with ids for keys, where sentences and positions stood.

    Args:
        state: As it was read.
        parts: What the session is built of. The adapters of a processor were counted, and those
            that it lacks were not.
    """
    numbered = _numbered_adapters(parts)

    def of_sentence(sentence: str) -> str:
        return numbered.get(sentence) or _id_of(sentence)

    prefixes = _prefixes(parts)

    def of_path(path: str) -> str:
        fitting = [p for p in prefixes if path == p or path.startswith(f"{p}.")]
        prefix = max(fitting, key=len, default="")
        return prefixes[prefix] + path.removeprefix(prefix) if prefix else path

    def renamed(section: str, key_of: Callable[[str], str]) -> dict[str, Any]:
        return {key_of(key): value for key, value in state[section].items()}

    return {
        "progress": _recounted(state["progress"], parts),
        "random": state["random"],
        "generators": renamed("generators", of_path),
        "samplers": renamed("samplers", lambda name: f"loader_factories/{name}"),
        "training": renamed("training", of_sentence),
        "results": renamed("modules", of_sentence),
        "buffers": renamed("buffers", of_sentence),
        "extra_state": renamed("extra state", lambda name: f"models/{name}"),
        "environment": state["environment"],
    }


def _recounted(progress: Mapping[str, Any], parts: Parts) -> Mapping[str, Any]:
    """The same without running means over examples of losses that are means over terms now.

    Of a pass that is done the mean stays as it is.
    """
    within = progress.get("within")
    if within is None:
        return progress
    passes = {}
    for name, done in within["passes"].items():
        left = dict(done["losses"])
        goes_on = done["done"] is False and name in parts.pipelines
        for item in parts.pipelines[name].losses if goes_on else ():
            loss = item.loss
            if (
                not loss.sums
                and rarely_counts_samples(loss.function)
                and left.pop(item.shown_as, None)
            ):
                _log.warning(
                    f'the mean of "{item.shown_as}" over the current epoch, in training, covers '
                    "only the rest of it: an earlier version weighted by examples, this one "
                    "weights by what the loss is a mean over"
                )
        passes[name] = {**done, "losses": left}
    return {**progress, "within": {**within, "passes": passes}}


def stored_results(state: Mapping[str, Any], written: int) -> set[str]:
    """The ids of what a ``state.json`` holds of losses, transforms and object processors.

    Args:
        state: As it was read.
        written: Its format.
    """
    return set(state["results"]) if written >= 3 else {_id_of(key) for key in state["modules"]}


def could_be_stored(key: str, written: int) -> bool:
    """Whether a format had a place for the state of a member."""
    return written >= 3 or not key.startswith(_SINCE_3)


def _id_of(sentence: str) -> str:
    """The id of what format 2 called by a sentence, as far as that says it."""
    for pattern, key in _SENTENCES:
        found = re.fullmatch(pattern, sentence, re.DOTALL)
        if found:
            return key.format(*found.groups())
    return sentence


def _numbered_adapters(parts: Parts) -> dict[str, str]:
    """The adapters of each processor, as they were counted."""
    numbered: dict[str, str] = {}
    counts: dict[str, int] = {}
    for key in members_of(parts):
        group, name, *_ = key.split("/")
        if group == "batch_processors":
            number = counts[name] = counts.get(name, -1) + 1
            numbered[f'part {number} of the batch processor "{name}"'] = key
    return numbered


def _prefixes(parts: Parts) -> dict[str, str]:
    """Where the paths of generators began, and where they do now."""
    prefixes: dict[str, str] = {}
    for key, member in members_of(parts).items():
        group, name, *rest = key.split("/")
        old = f"{group}.{name}"
        if group in ("losses", "metrics"):
            old += ".1" if rest else ".0"
        elif group == "loader_factories":
            old += f".{rest[-1]}"
        elif group == "batch_processors":
            places = [part is member for part in parts.batch_processors[name].parts]
            old += f".{places.index(True)}"
        prefixes[old] = key
    return prefixes
