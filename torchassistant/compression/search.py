"""The search for a smaller model that is as good, within a promise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from torchassistant.compression.calls import ModelCall, by_origin, calls_of, models_in
from torchassistant.compression.candidates import Candidate, best_of, next_candidate
from torchassistant.compression.exporting import Trial, tried_export
from torchassistant.compression.measuring import latency_of, weight_of
from torchassistant.compression.monitored import Monitored, models_to_compress, monitored
from torchassistant.compression.packages import expect_packages
from torchassistant.compression.pruning import TooFar
from torchassistant.compression.records import Record, SearchFolder
from torchassistant.compression.request import Request
from torchassistant.compression.sessions import Workshop
from torchassistant.errors import ConfigError, UserCodeError, UserError, near
from torchassistant.rebuilding import Misfit
from torchassistant.session import Session, load_session
from torchassistant.training import Reporter, StopRequest

_ROUNDING = 1e-9
"""A metric that is worse by just delta may differ by as much, relative to it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found.

    Args:
        records: Everything that was tried; number 0 is the model as it was.
        best: The best of them.
        result: The session with it; None where nothing is better than what there was.
        confirmed: What a pipeline on other data measures of the model as it was, and of the best.
        export: Whether the best one can be written as ONNX.
        ended: Why nothing more is tried.
    """

    records: Sequence[Record]
    best: Record
    result: Path | None
    confirmed: tuple[Mapping[str, Any], Mapping[str, Any]] | None
    export: Trial
    ended: str


def compress(
    session: str | Path,
    request: Request,
    folder: str | Path | None = None,
    *,
    confirm: str | None = None,
    exports: bool = True,
    trials: int | None = None,
    seconds: float | None = None,
    checkpoint: str = "last",
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
    tell: Callable[[Record], None] = lambda record: None,
    **allowed: Any,
) -> Found:
    """Find the smallest, or fastest, form of a session's models whose metric is as good.

    Called again for the same folder, it goes on where it was.

    Args:
        session: The session folder.
        request: What is searched for.
        folder: Of the search; left out: that of the session with ``-compressed``.
        confirm: A pipeline on other data, which measures the best one once.
        exports: Whether the best one is exported, to see whether it can be.
        trials: Most candidates that are tried, over all calls.
        seconds: No candidate is begun after so many, over all calls.
        checkpoint: Which one of the session: ``last``, ``best`` or a step.
        reporter: Is called while a candidate is trained.
        stop: Ends the search after the iteration at hand.
        tell: Is called with each candidate that was tried, also with those of earlier calls.
        allowed: What the config may do, as :func:`load_session` takes it.

    Raises:
        ConfigError: The request does not fit the session, or needs a package that is missing.
        SessionError: There is no such session, or the folder is of another search.
        Interrupted: ``stop`` asked for it; it goes on when it is called again.
        UserCodeError: The user's code raised.
    """
    expect_packages(request.methods)
    original = load_session(session, checkpoint=checkpoint, **allowed)
    where = Path(folder) if folder is not None else _beside(original.path)
    search = _Search(original, checkpoint, request, SearchFolder(where), reporter, stop, allowed)
    if confirm is not None and confirm not in original.pipelines:
        known = near(confirm, original.pipelines)
        raise ConfigError(f'no pipeline is named "{confirm}"{known}')
    ended = search.run(trials, seconds, tell)
    return search.found(confirm, exports, ended)


class _Search:
    def __init__(
        self,
        original: Session,
        checkpoint: str,
        request: Request,
        folder: SearchFolder,
        reporter: Reporter | None,
        stop: StopRequest | None,
        allowed: Mapping[str, Any],
    ) -> None:
        self.original = original
        self.checkpoint = checkpoint
        self.allowed = allowed
        self.request = request
        self.folder = folder
        self.stop = stop or StopRequest()
        self.monitored: Monitored = monitored(original, request.monitor, request.mode)
        self.models = models_to_compress(original, self.monitored.graph)
        self.workshop = Workshop(
            folder,
            original,
            self.models,
            allowed,
            reporter or Reporter(),
            self.stop,
            lambda: by_origin(original, self._calls()),
        )
        self.records: list[Record] = []
        self.calls: list[tuple[str, ModelCall]] = []

    def run(self, trials: int | None, seconds: float | None, tell: Callable[[Record], None]) -> str:
        """Try candidates; gives why no more are tried."""
        progress = self.original.progress
        source = {
            "session": self.original.path.name,
            "step": progress.step,
            "seed": self.original.seed,
        }
        self.folder.begin(self.request.as_data(), source)
        self.records = self.folder.records()
        self.folder.clear(self.records[1:])
        for record in self.records:
            tell(record)
        if not self.records:
            tell(
                self._added(
                    self._measured(self.original, 0, "as it was", None, {}, time.monotonic())
                )
            )
        while True:
            if trials is not None and len(self.records) > trials:
                return f"{trials} candidate{'s were' if trials != 1 else ' was'} tried"
            spent = sum(record.seconds for record in self.records)
            if seconds is not None and spent >= seconds:
                return f"{seconds:g} s have passed"
            candidate = next_candidate(self.request, self.records)
            if candidate is None:
                return "nothing is left to try"
            self.stop.check()
            tell(self._added(self._tried(candidate)))

    def found(self, confirm: str | None, exports: bool, ended: str) -> Found:
        """Write down what was found."""
        best = best_of(self.request, self.records)
        result = self.folder.result if best.number else None
        known = self.folder.results()
        if known.get("number") != best.number:
            known = {}
        if result is not None and (not known or not result.exists()):
            self.workshop.copied(best.number, result)
        confirmed = None
        if confirm is not None:
            if known.get("confirm") == confirm:
                before, after = known["confirmed"]
            else:
                before = _numbers(self.original, confirm)
                after = _numbers(self.workshop.loaded(best.number), confirm)
            confirmed = before, after
        export = Trial(*known.get("export", (None,)))
        if exports and export.exported is None:
            export = self._tried_export(result)
        self.folder.write_results(
            {
                "number": best.number,
                "confirm": confirm,
                "confirmed": confirmed,
                "export": export,
                "ended": ended,
            },
        )
        return Found(self.records, best, result, confirmed, export, ended)

    def _tried_export(self, result: Path | None) -> Trial:
        return tried_export(
            result or self.original.path,
            self.monitored.graph,
            "last" if result else self.checkpoint,
            self.folder.trial_export,
            self.allowed,
        )

    def _tried(self, candidate: Candidate) -> Record:
        number, begun = len(self.records), time.monotonic()
        name = candidate.name(self.records)
        try:
            session = self.workshop.made(number, candidate)
            return self._measured(session, number, name, candidate.base, candidate.method, begun)
        except (Misfit, UserError, UserCodeError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            return Record(
                number,
                name,
                candidate.base,
                candidate.method,
                reason=reason or type(error).__name__,
                too_far=isinstance(error, TooFar),
                seconds=time.monotonic() - begun,
            )

    def _measured(
        self,
        session: Session,
        number: int,
        name: str,
        base: int | None,
        method: Mapping[str, Any],
        begun: float,
    ) -> Record:
        metric = self.monitored.value(session, self.stop)
        before = self.records[0].metric if self.records else metric
        assert before is not None, "number 0 was measured"
        worse = self.monitored.worse_by(metric, before)
        holds = worse <= self.request.delta * (1 + _ROUNDING) + _ROUNDING
        weight = weight_of(self._models(session))
        return Record(
            number,
            name,
            base,
            dict(method),
            metric=metric,
            worse_by=worse,
            holds=holds,
            size=weight.size,
            file=weight.file,
            parameters=weight.parameters,
            latency=latency_of(self._run_models(session), self._calls()),
            seconds=time.monotonic() - begun,
        )

    def _added(self, record: Record) -> Record:
        self.folder.add(record)
        self.records.append(record)
        self.folder.clear(self.records[1:])
        return record

    def _models(self, session: Session) -> dict[str, nn.Module]:
        return {name: session.models[name] for name in self.models}

    def _run_models(self, session: Session) -> dict[str, nn.Module]:
        """The models that the monitored pipeline runs; averages stand in for what they average."""
        return models_in(session, self.monitored.graph)

    def _calls(self) -> list[tuple[str, ModelCall]]:
        """What the models are called with; the same for each candidate."""
        if not self.calls:
            models = self._run_models(self.original)
            self.calls = calls_of(self.original, self.monitored.graph, models, 1)
        return self.calls


def _numbers(session: Session, pipeline: str) -> dict[str, float]:
    found = session.evaluate([pipeline], evaluators=())
    return {name: float(one) for name, one in found.items() if isinstance(one, float | int)}


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}-compressed")
