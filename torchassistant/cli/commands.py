"""What each command does."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, TextIO

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE, USER_CODE, USER_ERROR, print_failed, warn
from torchassistant.cli.layout import as_json, problems_as_data
from torchassistant.cli.next_steps import next_steps
from torchassistant.cli.overview import summary_as_data
from torchassistant.cli.processes import first_before_others, in_processes, start_processes
from torchassistant.cli.signals import stopping_after_iteration, stopping_at_once
from torchassistant.cli.streams import expect_output, say
from torchassistant.cli.tables import (
    prediction_as_data,
    preflight_lines,
    result_as_data,
    result_in_short,
    weight_lines,
)
from torchassistant.cli.trial import is_trial, run_trial
from torchassistant.config import ReadConfig, as_data
from torchassistant.errors import (
    SessionError,
    UserCodeError,
    UserError,
    in_one_line,
    shown_path,
)
from torchassistant.overview import summarize
from torchassistant.parallel import Processes, launched
from torchassistant.session import (
    Draft,
    Prediction,
    Preflight,
    Session,
    SessionFolder,
    evaluate_config,
    expect_no_trainer,
    infer_config,
    load_session,
    log_history,
    reason_of,
    store,
    train_profiled,
)
from torchassistant.training import Reporter, reporter_for


def init(arguments: Namespace, config: ReadConfig) -> int:
    """Create a session."""
    with stopping_at_once():
        draft = Draft(config, **allowed(arguments))
        warn(draft.warnings)
        replace = asked_name(draft) if arguments.replace == "" else arguments.replace
        session, report = store(draft, with_preflight=arguments.preflight, replace=replace)
    if arguments.json:
        weights = {name: taken.data() for name, taken in session.weights.items()}
        print(as_json({"session": str(session.path), "weights": weights}))
        return DONE
    if report is not None:
        _show(report, sys.stdout)
    else:
        print("".join(f"{line}\n" for line in weight_lines(session.weights.values())), end="")
    say(f"session {shown_path(session.path)} created", sys.stdout)
    return DONE


def asked_name(draft: Draft) -> str:
    """Ask for the name of the session that is to be replaced.

    Raises:
        SessionError: There is nobody to ask.
    """
    folder = draft.folder()
    name = folder.path.name
    if not folder.is_there:
        return name
    if sys.stdin is None or not sys.stdin.isatty():
        raise SessionError(
            f"the session {shown_path(folder.path)} would be removed, and there is no terminal to "
            f"ask on; --replace {name} confirms it"
        )
    shown = in_one_line(shown_path(folder.path))
    print(
        f"The session {shown} will be removed as soon as the new one is complete.\n"
        f"To go ahead, type its name ({in_one_line(name)}): ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip()


def check(arguments: Namespace, config: ReadConfig) -> int:
    """Find what is wrong with a config."""
    with stopping_at_once():
        draft = Draft(config, **allowed(arguments), dry=True)
        warnings = [*draft.warnings, *([] if arguments.preflight else draft.missing)]
        if not arguments.json:
            warn(warnings)
        report = draft.preflight() if arguments.preflight else None
    if arguments.json:
        warnings += [] if report is None else report.warnings
        told: dict[str, Any] = {"problems": [], "warnings": problems_as_data(warnings)}
        if arguments.complete:
            told["config"] = as_data(draft.spec)
        print(as_json(told))
        return DONE
    if arguments.complete:
        print(as_json(as_data(draft.spec)))
    if report is not None:
        _show(report, sys.stderr if arguments.complete else sys.stdout)
    if not arguments.complete:
        say(f"{arguments.config}: no problem found", sys.stdout)
    return DONE


def _show(report: Preflight, stream: TextIO) -> None:
    print("\n".join(preflight_lines(report)), file=stream)
    warn(report.warnings)


def train(arguments: Namespace) -> int:
    """Train a session."""
    place = launched()
    if place is None and arguments.processes is not None:
        return start_processes(arguments.processes)
    run = run_trial if is_trial(arguments) else _train
    return in_processes(place, lambda processes: run(arguments, processes))


def _train(arguments: Namespace, processes: Processes) -> int:
    with stopping_at_once():
        session = first_before_others(processes, lambda: _loaded(arguments, processes))
    if session.finished:
        with stopping_after_iteration(saves=True) as stop:
            # Where a process died at the very end, callbacks have not heard of it, or files of
            # weights are missing.
            session.train(stop=stop, processes=processes)
        if not arguments.json:
            say(f"{_described(session)} is finished; nothing is left to do", sys.stdout)
        return _tell_state(session, arguments.json)
    if session.progress.step:
        progress = session.progress
        say(f"resuming after iteration {progress.step}, epoch {progress.epoch}")
    reporter = Reporter()
    if processes.is_first:
        labels, best = session.spec.stage_labels, session.best_values()
        reporter = reporter_for(stages=labels, best=best, timing=arguments.timing)
    with stopping_after_iteration(saves=True) as stop:
        if arguments.profile:
            train_profiled(session, reporter, stop, processes)
        else:
            session.train(reporter, stop, processes=processes)
    if not arguments.json:
        say(f"{_described(session)} is finished", sys.stdout)
        for line in next_steps(session):
            say(line, sys.stdout)
    return _tell_state(session, arguments.json)


def _tell_state(session: Session, is_wanted: bool) -> int:
    """Print what ``runs`` knows of a session, where a program wants that."""
    if is_wanted:
        print(as_json(summary_as_data(summarize(session.path))))
    return DONE


def _loaded(arguments: Namespace, processes: Processes) -> Session:
    if processes.is_first:
        expect_no_trainer(SessionFolder(arguments.session).environment)
    return load_session(
        arguments.session,
        arguments.device,
        settings=arguments.settings,
        **allowed(arguments),
        accept_changes=arguments.accept_changes,
        processes=processes,
    )


def evaluate(arguments: Namespace) -> int:
    """Print losses and metrics."""
    place = launched()
    if place is None and arguments.processes is not None:
        return start_processes(arguments.processes)
    return in_processes(place, lambda processes: _evaluate(arguments, processes))


def _evaluate(arguments: Namespace, processes: Processes) -> int:
    expect_output()
    with stopping_after_iteration() as stop:
        results = evaluate_config(
            arguments.source,
            reporter_for() if processes.is_first else Reporter(),
            stop,
            processes=processes,
            settings=arguments.settings,
            **allowed(arguments),
            checkpoint=arguments.checkpoint,
            keep=arguments.keep,
            device=arguments.device,
            weights_only=arguments.weights_only,
            pipeline=arguments.pipeline,
        )
    if arguments.json:
        print(as_json({name: result_as_data(value) for name, value in results.items()}))
        return DONE
    shown = [(in_one_line(name), value) for name, value in results.items()]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name:<{width}}  {result_in_short(value)}")
    return DONE


def infer(arguments: Namespace) -> int:
    """Hand predictions to the output device, to a file, or to a program."""
    place = launched()
    if place is None and arguments.processes is not None:
        return start_processes(arguments.processes)
    return in_processes(place, lambda processes: _infer(arguments, processes))


def _infer(arguments: Namespace, processes: Processes) -> int:
    expect_output()
    predictions: list[dict[str, Any]] = []
    is_listed = arguments.json and arguments.output is None
    shows_progress = arguments.output is not None or is_listed

    def add(prediction: Prediction) -> None:
        predictions.append(prediction_as_data(prediction))

    def tell(given: str, error: UserError | UserCodeError) -> None:
        print_failed(given, error)
        why = in_one_line(reason_of(error))
        predictions.append({"input": given, "index": None, "result": None, "error": why})

    with stopping_at_once():
        outcome = infer_config(
            arguments.source,
            arguments.inputs,
            settings=arguments.settings,
            **allowed(arguments),
            checkpoint=arguments.checkpoint,
            device=arguments.device,
            pipeline=arguments.pipeline,
            output=arguments.output,
            overwrite=arguments.overwrite,
            columns=arguments.columns,
            reporter=reporter_for() if shows_progress and processes.is_first else None,
            tell=tell,
            deliver=add if is_listed else None,
            processes=processes,
        )
    if arguments.json:
        told = {"predictions": predictions} if is_listed else {"output": arguments.output}
        print(as_json({**told, "made": outcome.made, "failed": outcome.failed}))
    elif arguments.output is not None:
        say(f"{outcome.made:,} predictions written to {shown_path(arguments.output)}", sys.stdout)
    if not outcome.failed:
        return DONE
    nothing_made = not outcome.made and outcome.misfits == outcome.failed
    return USER_ERROR if nothing_made else USER_CODE


def log(arguments: Namespace) -> int:
    """Send the history of a session to a tracker."""
    given = ("folder", "name", "experiment", "project")
    options = {name: value for name in given if (value := getattr(arguments, name)) is not None}
    with stopping_at_once():
        sent, where = log_history(arguments.session, arguments.to, **options)
    if arguments.json:
        print(as_json({"to": arguments.to, "sent": sent, "where": str(where)}))
        return DONE
    count = f"{sent} point{'s' if sent != 1 else ''}"
    what = f"{count} sent" if sent else "nothing is missing"
    say(f"{arguments.to}: {what} ({shown_path(where)})", sys.stdout)
    return DONE


def _described(session: Session) -> str:
    progress, stages = session.progress, len(session.stages)
    epochs = f"{progress.epoch} epoch{'s' if progress.epoch != 1 else ''}"
    return (
        f"session {shown_path(session.path)} ({stages} stage{'s' if stages != 1 else ''}, {epochs})"
    )
