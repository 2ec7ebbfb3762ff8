"""The command ``export``."""

from __future__ import annotations

import sys
from argparse import Namespace

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE
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
    for line in made.lines:
        say(line, sys.stdout)
    say(f"exported to {shown_path(made.folder)}", sys.stdout)
    return DONE
