"""Which candidate is tried next: it follows from what was asked, and from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torchassistant.compression.records import Record
from torchassistant.compression.request import Request

_FINEST = 1 / 16
"""Shares of parameters are tried until they are as near to each other as this."""
_LEAST_BYTES = 4
"""int8 makes weights so many times smaller, and no more."""
_INT8 = ("int8", "int8-dynamic", "int8-static")
"""What is done last."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be tried.

    Args:
        base: The number of the candidate that it is made of.
        method: What is done to that: its ``kind``; of a ``low-rank`` or ``prune`` the ``share`` of
            parameters that stays, the ``epochs`` that it is trained, and whether it is
            ``distilled`` in them.
    """

    base: int
    method: Mapping[str, Any]

    @property
    def trains(self) -> bool:
        """Whether it is trained."""
        return self.epochs > 0

    @property
    def epochs(self) -> int:
        """How long it is trained."""
        return self.method.get("epochs", 0)

    @property
    def distilled(self) -> bool:
        """Whether it learns from the model as it was, too."""
        return self.method.get("distilled", False)

    def name(self, records: Sequence[Record]) -> str:
        """What is done, for people."""
        own = str(self.method["kind"])
        if "share" in self.method:
            own += f" {self.method['share']:.0%}"
        if self.trains:
            own += ", distilled" if self.distilled else ", trained"
        return own if self.base == 0 else f"{records[self.base].name} + {own}"


def next_candidate(request: Request, records: Sequence[Record]) -> Candidate | None:
    """The cheapest candidate that may be worth it; None where there is no other.

    Args:
        request: What is searched for.
        records: Everything that was tried, in order.
    """
    tried = [Candidate(r.base or 0, r.method) for r in records[1:]]
    found = [one for one in _possible(request, records) if one not in tried]
    # Sorting is stable: what costs the same is tried in the order in which it is named.
    return min(found, key=lambda one: one.trains, default=None)


def best_of(request: Request, records: Sequence[Record]) -> Record:
    """The best by the objective of those that hold; what the model was, where no other is."""

    def cost(record: Record) -> tuple[float, float, int]:
        latency = record.latency.get("1")
        milliseconds = float("inf") if latency is None else latency
        first = record.size if request.objective == "size" else milliseconds
        return first, record.worse_by or 0.0, record.number

    return min((record for record in records if record.holds), key=cost)


def _possible(request: Request, records: Sequence[Record]) -> Iterator[Candidate]:
    smallest = min(record.size for record in records if record.holds)
    for record in sorted(records, key=lambda record: record.size):
        may_win = record.size / _LEAST_BYTES < smallest or request.objective == "latency"
        if record.holds and may_win and record.method.get("kind") not in _INT8:
            yield from (
                Candidate(record.number, {"kind": kind})
                for kind in _INT8
                if kind in request.methods
            )
    for method in _families(request):
        share = _next_share(method, [r for r in records if r.base == 0])
        if share is not None:
            yield Candidate(0, {**method, "share": share})


def _families(request: Request) -> Iterator[dict[str, Any]]:
    """What is tried with several shares: each way to choose what stays, and to train it."""
    kinds = [kind for kind in ("low-rank", "prune") if kind in request.methods]
    yield from ({"kind": kind, "epochs": 0, "distilled": False} for kind in kinds)
    if request.finetune:
        for kind in kinds:
            yield {"kind": kind, "epochs": request.finetune, "distilled": False}
            if "distill" in request.methods:
                yield {"kind": kind, "epochs": request.finetune, "distilled": True}


def _next_share(family: Mapping[str, Any], records: Sequence[Record]) -> float | None:
    """Between the smallest share that holds and the largest that does not; None at the end."""
    same = [r for r in records if {**r.method, "share": None} == {**family, "share": None}]
    if any(record.reason and not record.too_far for record in same):
        return None
    high = min((r.method["share"] for r in same if r.holds), default=1.0)
    low = max((r.method["share"] for r in same if not r.holds), default=0.0)
    return None if high - low <= _FINEST else (low + high) / 2
