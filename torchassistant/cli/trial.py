"""``train --overfit`` and ``train --limit-batches``: training of which nothing is kept."""

from __future__ import annotations

import math
import sys
from argparse import Namespace
from collections.abc import Sequence

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import as_json, counted, finite
from torchassistant.cli.processes import first_before_others
from torchassistant.cli.signals import stopping_after_iteration, stopping_at_once
from torchassistant.cli.streams import say
from torchassistant.errors import ConfigError, Interrupted, shown_path
from torchassistant.parallel import Processes
from torchassistant.session import Session, load_session, overfit, try_out
from torchassistant.training import Progress, Reporter, Row, reporter_for

PASSES = 100
_NOT_A_LOSS = ("epoch", "step", "seconds", "skipped")


def is_trial(arguments: Namespace) -> bool:
    """Whether ``train`` was asked for one.

    Raises:
        ConfigError: It was asked for something else besides.
    """
    found = arguments.overfit is not None or arguments.limit_batches is not None
    if arguments.passes is not None and arguments.overfit is None:
        raise ConfigError("--passes belongs to --overfit N")
    if found and arguments.profile:
        option = "--overfit" if arguments.overfit is not None else "--limit-batches"
        raise ConfigError(f"{option} stores nothing, and so --profile cannot write its trace")
    return found


def run_trial(arguments: Namespace, processes: Processes) -> int:
    """Train, and leave the session as it is."""

    def loaded() -> Session:
        return load_session(
            arguments.session,
            arguments.device,
            settings=arguments.settings,
            **allowed(arguments),
            accept_changes=arguments.accept_changes,
            processes=processes,
        )

    with stopping_at_once():
        session = first_before_others(processes, loaded)
    name = shown_path(session.path)
    try:
        if arguments.overfit is not None:
            rows = _overfit(session, arguments, processes)
        else:
            rows = _try_out(session, arguments, processes)
    except Interrupted as error:
        raise Interrupted(error.signum, f"nothing was stored; {name} is as it was") from None
    if arguments.json:
        batches = arguments.overfit or arguments.limit_batches
        told = {"session": str(session.path), "batches": batches, "rows": rows}
        print(as_json(finite(told)))
    return DONE


def _overfit(session: Session, arguments: Namespace, processes: Processes) -> list[Row]:
    batches = arguments.overfit
    with stopping_after_iteration() as stop:
        reporter = _Losses() if processes.is_first else Reporter()
        rows = overfit(
            session, batches, arguments.passes or PASSES, reporter, stop, processes=processes
        )
    if not arguments.json:
        what = "the same batch" if batches == 1 else f"the same {batches:,} batches"
        say(f"{what}, {counted(len(rows), 'pass')}: {_change(rows)}", sys.stdout)
        say(f"nothing was stored; session {shown_path(session.path)} is as it was", sys.stdout)
    for loss in _not_fallen(rows):
        say(
            f'hint: "{loss}" has hardly fallen. A net that cannot learn a few examples by heart '
            "will learn no more of them: look at targets, loss and learning rate; --passes M "
            "goes on for longer"
        )
    return rows


def _try_out(session: Session, arguments: Namespace, processes: Processes) -> list[Row]:
    name, batches = shown_path(session.path), arguments.limit_batches
    if session.finished:
        if not arguments.json:
            say(f"session {name} is finished; there is nothing to try", sys.stdout)
        return []
    reporter = Reporter()
    if processes.is_first:
        reporter = reporter_for(
            stages=session.spec.stage_labels, best=session.best_values(), timing=arguments.timing
        )
    with stopping_after_iteration() as stop:
        rows = try_out(session, batches, reporter, stop, processes)
    if not arguments.json:
        epochs = counted(len(rows), "epoch")
        say(f"{epochs} of at most {counted(batches, 'batch')} went through", sys.stdout)
        say(f"nothing was stored; session {name} is as it was", sys.stdout)
    return rows


class _Losses(Reporter):
    """A line for the passes 1, 2, 5, 10, 20, 50, 100, …."""

    def __init__(self) -> None:
        self._done = 0
        self._next = 1

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self._done += 1
        if self._done == self._next:
            values = "  ".join(f"{name} {row[name]:.4g}" for name in _losses(row))
            say(f"pass {self._done}  {values}")
            self._next = round(self._next * (2.5 if str(self._next)[0] == "2" else 2))


def _losses(row: Row) -> list[str]:
    return [name for name, value in row.items() if name not in _NOT_A_LOSS and value is not None]


def _change(rows: Sequence[Row]) -> str:
    first, last = rows[0], rows[-1]
    return ", ".join(f"{name} {first[name]:.4g} → {last[name]:.4g}" for name in _losses(last))


def _not_fallen(rows: Sequence[Row]) -> list[str]:
    """Where there is one loss only: several may work against each other, as those of a GAN."""
    losses = _losses(rows[-1])
    if len(losses) != 1 or len(rows) < 2:
        return []
    first, last = float(rows[0][losses[0]] or 0), float(rows[-1][losses[0]] or 0)
    hardly = not math.isfinite(last) or last > first - abs(first) / 10
    return losses if hardly else []
