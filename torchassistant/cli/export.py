"""The command ``export``."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import as_json, finite
from torchassistant.cli.signals import stopping_at_once
from torchassistant.cli.streams import say
from torchassistant.errors import shown_path
from torchassistant.export import export_session


def export(arguments: Namespace) -> int:
    """Write files that need no session."""
    with stopping_at_once():
        made = export_session(
            arguments.source,
            arguments.output,
            format=arguments.format,
            pipeline=arguments.pipeline,
            checkpoint=arguments.checkpoint,
            batch=arguments.batch,
            dynamic=arguments.dynamic,
            dtype=arguments.dtype,
            metric=arguments.metric,
            settings=arguments.settings,
            **allowed(arguments),
        )
    if arguments.json:
        compared = None if made.comparison is None else asdict(made.comparison)
        measured = None if made.measured is None else asdict(made.measured)
        told = {"notes": made.notes, "comparison": compared, "measured": measured}
        print(as_json(finite({"folder": str(made.folder), **told})))
        return DONE
    for line in made.lines:
        say(line, sys.stdout)
    say(f"exported to {shown_path(made.folder)}", sys.stdout)
    return DONE
