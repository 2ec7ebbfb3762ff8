"""Loader factories, and the transforms of training data in them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.parts import Parts
from torchassistant.collators import DefaultCollator
from torchassistant.data import Augment, LoaderFactory, derived


def _build(context: BuildContext, one: Defined) -> LoaderFactory:
    spec, parts, path = one.spec, context.parts, (*one.path, "kwargs")
    collator = parts.collators[spec.collator] if spec.collator else DefaultCollator()
    kwargs = context.maker.arguments(spec.kwargs, path, one.what, "loader_factories")
    dataset = parts.dataset(spec.dataset)
    augments = _augments(context, one)
    group = spec.shuffle_group
    factory = LoaderFactory(
        dataset,
        collator,
        kwargs,
        one.name,
        spec.dataset,
        augments,
        named=parts.datasets,
        contiguous=spec.contiguous,
        order_seed=None if group is None else derived(parts.seed, "shuffle group", group),
    )
    try:
        # A loader of each kind is built once, so that arguments that do not fit are found here.
        factory.check()
    except Exception as error:
        raise context.maker.problem(f"{one.what}: {error}", path) from None
    if group is not None:
        _expect_one_order(context, one, factory)
    return factory


def _expect_one_order(context: BuildContext, one: Defined, factory: LoaderFactory) -> None:
    """Expect a loader to draw its order, over a dataset as long as those of its shuffle group."""
    path = (*one.path, "shuffle_group")
    if not factory.draws_order:
        message = "a shuffle group is for loaders that shuffle by themselves, without a sampler"
        raise context.maker.problem(f"{message}, and not over a stream", path)
    for name, other in context.parts.loader_factories.items():
        lengths = len(factory.dataset), len(other.dataset)
        if other.order_seed == factory.order_seed and lengths[0] != lengths[1]:
            raise context.maker.problem(
                f'the datasets of a shuffle group are of one length: "{one.spec.dataset}" has '
                f'{lengths[0]:,} examples, and "{other.dataset_name}", of "{name}", {lengths[1]:,}',
                path,
            )


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
