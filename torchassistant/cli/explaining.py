"""``check --explain``: who set a value of a config."""

from __future__ import annotations

from argparse import Namespace

from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import as_json
from torchassistant.config import Explained, explain_path

_NAMED = {"like": "name"}
"""Under which key the name stands, if not that of a variable."""


def explain_value(arguments: Namespace) -> int:
    """Print where the values at a path come from.

    Raises:
        ConfigError: The config cannot be read; or nothing is there; or something else is wrong
            with how it is put together, which is told after the values.
    """
    found = explain_path(arguments.config, arguments.explain, arguments.settings, arguments.trust)
    if arguments.json:
        print(as_json({"values": [_as_data(one) for one in found.values]}))
    else:
        print("\n".join(line for one in found.values for line in one.lines()))
    found.diagnostics.raise_if_any()
    return DONE


def _as_data(one: Explained) -> dict[str, object]:
    origins = [
        {
            "how": origin.how,
            "value": origin.value,
            **({_NAMED.get(origin.how, "variable"): origin.name} if origin.name else {}),
            "file": origin.place.file if origin.place else None,
            "line": origin.place.line if origin.place else None,
            "column": origin.place.column if origin.place else None,
        }
        for origin in one.origins
    ]
    return {"path": one.path, "value": one.value, "origins": origins}
