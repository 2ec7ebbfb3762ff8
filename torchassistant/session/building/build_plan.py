"""How the parts of a session are built: from which config, and which of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torchassistant.assembly import (
    Allowlist,
    Builder,
    Devices,
    FittedArtifacts,
    ObjectMaker,
    Parts,
    PlaceOf,
    build_pipeline,
    build_pipelines,
    build_stages,
    prepare_statistics,
)
from torchassistant.compat.compiler import defer_compiler_import
from torchassistant.config import Key, Spec
from torchassistant.parallel import Processes
from torchassistant.session.building.first_optimizer_states import begin_optimizers
from torchassistant.session.building.lazy_datasets import DatasetsOnDemand
from torchassistant.session.building.session_weights import weights_of_session
from torchassistant.session.processes.shared_models import share_models
from torchassistant.training import (
    Precision,
    draw_dropout_from_torch,
    use_deterministic_kernels,
)


@dataclass(frozen=True, slots=True, eq=False)
class BuildPlan:
    """What a session is built from, and what of it.

    Args:
        spec: The config, checked; its seed is known.
        place_of: Where things stand in the user's files.
        fitted: What was decided when the session was created; filled where it is empty.
        allowlist: Decides what may be imported.
        device: One device for everything, whatever the config says.
        stored: The definitions whose state is put back afterwards.
        wanted: The definitions that are built, with what they need; None is all.
        pipelines: The names of the pipelines that are built; None is all of them, and the stages.
        with_data: Whether pipelines get their data; without, they can infer, and a dataset is built
            when it is asked for.
        scored: Whether pipelines that are named get losses and metrics.
        dry: Whether nothing may be fetched, nor written.
        shares_models: Whether connected processes build it together, each with some rows of every
            parameter that is trained.
        processes: Those that it is built for.
    """

    spec: Spec
    place_of: PlaceOf
    fitted: FittedArtifacts
    allowlist: Allowlist
    device: str | None = None
    stored: Collection[Key] = ()
    wanted: Collection[Key] | None = None
    pipelines: Collection[str] | None = None
    with_data: bool = True
    scored: bool = True
    dry: bool = False
    shares_models: bool = False
    processes: Processes = field(default_factory=Processes)

    def devices(self) -> Devices:
        """The devices of the run."""
        return Devices(self.spec, self.place_of, self.device, self.processes)

    def build(self, parts: Parts, devices: Devices, path: Path) -> Builder:
        """Fill the parts of the session at a path; gives what has built them."""
        self.processes.device = devices.base
        if self.processes.size > 1:
            devices.set_for_process()
        Precision(self.spec.precision, devices.base).set_for_process()
        if self.spec.deterministic:
            use_deterministic_kernels(devices.base)
        defer_compiler_import()
        maker = ObjectMaker(parts, self.place_of, self.allowlist, self.dry)
        read_session = partial(weights_of_session, own=path)
        optimizers = (Key("optimizers", name) for name in self.spec.group("optimizers"))
        fills_later = (
            self.shares_models and not devices.moves and set(self.stored).issuperset(optimizers)
        )
        builder = Builder(
            *(self.spec, parts, devices, self.fitted, maker, read_session, self.stored),
            fills_later=fills_later,
        )
        builder.build(self.wanted)
        if self.spec.deterministic:
            draw_dropout_from_torch(parts.whole_models.values())
        if self.shares_models:
            share_models(parts)
        begin_optimizers(builder, self.stored, path)
        prepare_statistics(builder)
        if self.pipelines is None:
            build_pipelines(builder)
            build_stages(builder)
        for name in self.pipelines or ():
            spec = self.spec.initialize.pipelines[name]
            parts.pipelines[name] = build_pipeline(builder, name, spec, self.with_data, self.scored)
        if not self.with_data:
            parts.datasets = DatasetsOnDemand(builder)
        return builder
