"""Fills in what a config leaves out, and only its data can tell."""

from __future__ import annotations

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.earlier_filling import EarlierFilling
from torchassistant.assembly.inference_from_data import Filling
from torchassistant.config import Diagnostics, Spec


def fill(spec: Spec, diagnostics: Diagnostics, allowlist: Allowlist, dry: bool = False) -> Spec:
    """A spec with pipelines, and with everything that they need.

    Args:
        spec: A spec without pipelines, in which nothing is wrong, and no choice is left.
        diagnostics: Where things stand in the user's files.
        allowlist: Decides what may be imported.
        dry: Whether nothing may be fetched, nor written.

    Raises:
        ConfigError: The data does not tell what is to be filled in; the message names the choices.
        UserCodeError: A dataset of the user raised.
    """
    kind = EarlierFilling if diagnostics.in_parts else Filling
    return kind(spec, diagnostics, allowlist, dry).run()
