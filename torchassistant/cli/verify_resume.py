"""``verify-resume``: the same few iterations in one process, and cut in two processes."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.cli import streams, working_directory
from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE, USER_ERROR, status_of, warn
from torchassistant.cli.layout import as_json
from torchassistant.cli.log_handler import messages_on_stderr
from torchassistant.cli.processes import in_processes
from torchassistant.cli.signals import stopping_at_once
from torchassistant.cli.streams import say
from torchassistant.config import ReadConfig
from torchassistant.data import (
    disregard_stop_signals,
    end_with_parent,
    is_first_thread,
    signals_held_back,
)
from torchassistant.lateimports import starting_processes
from torchassistant.parallel import Launched, Processes, place_to_meet
from torchassistant.session import Draft, different_state, first_difference, store, train_traced

_HINTS = {
    "column": "random numbers and state of the dataset, its transforms or its collator must come "
    "from the generators of Python, NumPy or torch, from generators among their attributes, or "
    "from their state_dict and load_state_dict",
    "loss": "something in a model or a loss affects the result but is neither a parameter nor a "
    "buffer; or the hardware rounds differently from run to run",
}


class _Run(NamedTuple):
    """One of the two runs: its session, and its trace."""

    session: Path
    trace: Path


def verify_resume(arguments: Namespace, config: ReadConfig) -> int:
    """Tell whether a run that is cut goes on to the same end, bit for bit."""
    with stopping_at_once(), tempfile.TemporaryDirectory(prefix="verify-resume-") as name:
        here = Path(name)
        whole, cut = (_Run(here / n / "session", here / n / "trace") for n in ("whole", "cut"))
        whole.session.parent.mkdir()
        draft = Draft(config, **allowed(arguments))
        warn(draft.warnings)
        store(draft, whole.session)
        shutil.copytree(whole.session.parent, cut.session.parent)
        count = arguments.processes
        status, done, epochs = _in_processes(whole, arguments.iterations, allowed(arguments), count)
        half = done // 2
        # Not until what was done: where the run has ended before, the other one has to end too.
        for until in (half, arguments.iterations):
            if status == DONE and until:
                status, _, _ = _in_processes(cut, until, allowed(arguments), count)
        if status != DONE:
            return status
        found = first_difference(whole.trace, cut.trace) or different_state(
            whole.session, cut.session
        )
    hints = [] if found is None else [h for word, h in _HINTS.items() if f"the {word} " in found]
    if arguments.json:
        told = {"iterations": done, "interrupted_after": half, "epochs": epochs}
        print(as_json({"identical": found is None, **told, "difference": found, "hints": hints}))
        return DONE if found is None else USER_ERROR
    times = _times(done, half)
    if found is None:
        print(
            f"{times}: weights, optimizers, random numbers, data and history are identical, bit "
            "for bit"
        )
        if done < arguments.iterations:
            print(f"the run is over after {done}; --iterations asked for {arguments.iterations}")
        if not epochs:
            print("no epoch ended, and so nothing was validated; --iterations N tries more")
        return DONE
    say(f"error: {times}: the first difference is {found}")
    if _iteration_of(found) <= half:
        say("it comes before the interruption: two runs of this config differ")
    for hint in hints:
        say(f"hint: {hint}")
    return USER_ERROR


def _times(done: int, half: int) -> str:
    if not half:
        return f"{done} iteration, too few to interrupt, and the same again"
    return f"{done} iterations, and the same interrupted after {half}"


def _iteration_of(found: str) -> float:
    head = found.partition(":")[0]
    return int(head.split()[-1]) if head.startswith("iteration ") else float("inf")


def _in_processes(
    run: _Run, until: int, allowed: dict[str, Any], count: int
) -> tuple[int, int, int]:
    """Train in processes of their own.

    Returns:
        The status of the first that has failed, the iterations and the epochs that are done.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    method = multiprocessing.get_start_method()
    with place_to_meet(count) as places:
        processes = [
            context.Process(
                target=_train,
                args=(run, until, allowed, method, sender, is_first_thread(), place),
            )
            for place in places
        ]
        with starting_processes(are_copies=False), signals_held_back("spawn"):
            for process in processes:
                process.start()
        try:
            sender.close()
            try:
                done, epochs = receiver.recv()
            except EOFError:
                done = epochs = 0
            for process in processes:
                process.join()
            codes = [_status_of(process.exitcode) for process in processes]
            return next((code for code in codes if code != DONE), DONE), done, epochs
        finally:
            for process in processes:
                process.kill()


def _status_of(code: int | None) -> int:
    """The status of a process that has ended; where a signal did that, that is printed."""
    if code is None or code >= 0:
        return code or DONE
    name = signal.Signals(-code).name
    say(f"error: the process that trained was ended by {name}")
    return 128 - code


def _train(
    run: _Run,
    until: int,
    allowed: dict[str, Any],
    method: str,
    sender: object,
    by_first_thread: bool,
    place: Launched | None,
) -> None:
    # Of its own accord a spawned process would spawn its loader workers too; train.py does not, and
    # generators of torch cannot be sent to such a worker.
    multiprocessing.set_start_method(method, force=True)
    end_with_parent(by_first_thread)
    disregard_stop_signals()
    working_directory.make_importable()
    streams.prepare()

    def train(processes: Processes) -> int:
        done = train_traced(run.session, until, run.trace, allowed, processes)
        if processes.is_first:
            sender.send(done)  # type: ignore[attr-defined]
        return DONE

    with messages_on_stderr():
        if place is not None:
            sys.exit(in_processes(place, train))
        sys.exit(status_of(lambda: train(Processes())))
