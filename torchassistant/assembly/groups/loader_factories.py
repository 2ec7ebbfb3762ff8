"""Loader factories, and the transforms of training data in them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.parts import Parts
from torchassistant.collators import DefaultCollator
from torchassistant.data import Augment, LoaderFactory


def _build(context: BuildContext, one: Defined) -> LoaderFactory:
    spec, parts, path = one.spec, context.parts, (*one.path, "kwargs")
    collator = parts.collators[spec.collator] if spec.collator else DefaultCollator()
    kwargs = context.maker.arguments(spec.kwargs, path, one.what, "loader_factories")
    dataset = parts.dataset(spec.dataset)
    augments = _augments(context, one)
    factory = LoaderFactory(
        dataset, collator, kwargs, one.name, spec.dataset, augments, named=parts.datasets
    )
    try:
        # A loader of each kind is built once, so that arguments that do not fit are found here.
        factory.check()
    except Exception as error:
        raise context.maker.problem(f"{one.what}: {error}", path) from None
    return factory


def _augments(context: BuildContext, one: Defined) -> list[Augment]:
    made = []
    for index, spec in enumerate(one.spec.augments):
        several = isinstance(one.spec.augment, list)
        path = (*one.path, "augment", index) if several else (*one.path, "augment")
        what = f"augment {index} of {one.what}" if several else f"the augment of {one.what}"
        transform = context.callable_of(spec, path, what, "augment")
        made.append(Augment(transform, spec.on, spec.columns, what))
    return made


def _members(parts: Parts, name: str) -> Iterator[Member]:
    factory, id = parts.loader_factories[name], f"loader_factories/{name}"
    yield Member(id, factory, draws=False, stored=False)
    for index, augment in enumerate(factory.augments):
        is_module = isinstance(augment.transform, nn.Module)
        yield Member(f"{id}/augment/{index}", augment.transform, stored=not is_module)


LOADER_FACTORIES = Assembler(_build, _members)
