"""The weights that a model begins with: read once, when a session is created, and put into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from torchassistant.assembly.build_context import BuildContext, Defined, ReadSession
from torchassistant.assembly.downloads import Missing
from torchassistant.assembly.pretrained import fetched, is_pinned
from torchassistant.assembly.taken_weights import TakenWeights, WeightsRow
from torchassistant.assembly.weight_files import Source, held, stored_in, stored_in_pinned
from torchassistant.assembly.weight_names import Named, idle_patterns, named, reaches
from torchassistant.config import ModelWeightsSpec, Path
from torchassistant.errors import ConfigError, Problem, UserCodeError, UserError, near

_MOST = 12
"""So many names are told in one message."""


class _Read(NamedTuple):
    """One source that is read.

    Args:
        spec: What the config says of it.
        path: Where it says so.
        source: Its tensors.
        names: What they are called in the model.
    """

    spec: ModelWeightsSpec
    path: Path
    source: Source
    names: Named


def take_weights(context: BuildContext, one: Defined, model: nn.Module) -> None:
    """Put weights into a model, as its definition says.

    What was taken is in ``parts.weights`` afterwards. Where a dry run would have to download
    something, nothing is taken, with a warning.

    Args:
        context: What is there to build with.
        one: The definition.
        model: What has become of it.

    Raises:
        ConfigError: A source cannot be read, a pattern fits nothing, or what is strict does not
            fit; with names and shapes.
        UserCodeError: The user's code raised.
    """
    try:
        read = [_read(context, one, spec, (*one.path, *at)) for at, spec in one.spec.sources]
    except Missing as error:
        message = f"the weights of {one.what} are left out here: {error}"
        place = context.maker.place_of((*one.path, "weights"))
        context.maker.warnings.append(Problem(message, place))
        return
    _Taking(context, one, model, read).take()


def source_of(context: BuildContext, spec: ModelWeightsSpec, path: Path, model: str) -> Source:
    """The tensors that a source has, by the names in it.

    Raises:
        ConfigError: It cannot be read.
        UserCodeError: The user's code raised.
    """
    if spec.factory_fn:
        what = f'the weights of the model "{model}"'
        return _given(context, context.maker.make(spec, path, what, "weights"), path, spec)
    try:
        if spec.is_url:
            maker = context.maker
            path_there = fetched(spec.shown, maker.allowlist.allow_download, maker.dry)
            read = stored_in_pinned if is_pinned(spec.shown) else stored_in
            return read(FilePath(path_there), spec.model, model)
        return stored_source(spec, model, context.read_session)
    except UserError as error:
        place = context.maker.place_of((*path, "from"))
        raise ConfigError(*(Problem(p.message, place) for p in error.problems)) from None


def stored_source(spec: ModelWeightsSpec, model: str, read_session: ReadSession) -> Source:
    """The tensors of a file, a folder or a session.

    Raises:
        UserError: It cannot be read.
    """
    if spec.session is not None:
        return read_session(spec, model)
    return stored_in(FilePath(spec.shown), spec.model, model)


def _given(context: BuildContext, made: Any, path: Path, spec: ModelWeightsSpec) -> Source:
    """What a function gave, which has to be a state dict."""
    problem = context.maker.problem
    if isinstance(made, nn.Module):
        made = made.state_dict()
    if not isinstance(made, Mapping):
        message = f"{spec.factory_fn} must give a state dict; it gave a {type(made).__name__}"
        raise problem(message, (*path, "factory_fn"))
    for name, value in made.items():
        if not (isinstance(name, str) and isinstance(value, torch.Tensor)):
            message = (
                f"{spec.factory_fn} must give tensors by name; {name!r} is a {type(value).__name__}"
            )
            raise problem(message, (*path, "factory_fn"))
    return held({name: value.detach() for name, value in made.items()})


def _read(context: BuildContext, one: Defined, spec: ModelWeightsSpec, path: Path) -> _Read:
    source = source_of(context, spec, path, one.name)
    try:
        names = named(spec, source)
    except UserError as error:
        raise context.maker.problem(str(error), path) from None
    return _Read(spec, path, source, names)


class _Taking:
    """Puts sources together, and into a model.

    Args:
        context: What is there to build with.
        one: The definition of the model.
        model: The model.
        read: The sources, of which later ones win.
    """

    def __init__(
        self, context: BuildContext, one: Defined, model: nn.Module, read: list[_Read]
    ) -> None:
        self.maker = context.maker
        self.one = one
        self.model = model
        self.read = read
        self.report = context.parts.weights[one.name] = TakenWeights(one.name)
        state = model.state_dict(keep_vars=True)
        self.state = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
        self.wrong: list[Problem] = []

    def take(self) -> None:
        """Do so; all that is wrong is told at once."""
        for read in self.read:
            self._expect_effects(read)
        self._raise_if_any()
        chosen: dict[str, _Read] = {}
        for read in self.read:
            fits = read.names.taken if read.spec.strict else self._fitting(read)
            chosen |= dict.fromkeys(fits, read)
        self._expect_kinds(chosen)
        self._raise_if_any()
        misshapen = {name: read for name, read in chosen.items() if not self._has_shape(name, read)}
        tensors = {n: self._tensor(n, r) for n, r in chosen.items() if n not in misshapen}
        unknown = self._load(tensors)
        taken = [name for name in tensors if name not in unknown]
        self._note_rows(chosen, misshapen, unknown)
        self._note_missing({*taken, *misshapen})
        self._judge()
        self._raise_if_any()

    def _load(self, tensors: Mapping[str, torch.Tensor]) -> set[str]:
        """Load what has the right shapes; gives the names that the model has no use for."""
        try:
            result = self.model.load_state_dict(tensors, strict=False)
        except RuntimeError as error:
            # Where a model renames what is loaded, its own shapes are seen there.
            lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
            raise self.maker.problem(f"{self._what}: {'; '.join(lines)}", self._path) from None
        except Exception as error:
            raise UserCodeError(f"loading {self._what}") from error
        unexpected = getattr(result, "unexpected_keys", None)
        return set(tensors.keys() - self.state.keys() if unexpected is None else unexpected)

    def _tensor(self, name: str, read: _Read) -> torch.Tensor:
        try:
            return read.source[read.names.taken[name]].read()
        except UserError as error:
            raise self.maker.problem(str(error), read.path) from None

    def _fitting(self, read: _Read) -> Iterator[str]:
        """Of what need not fit, what does."""
        names = read.names.taken
        return (n for n in names if n in self.state and self._has_shape(n, read))

    def _has_shape(self, name: str, read: _Read) -> bool:
        """Whether a tensor has the model's shape; what the model does not know has any."""
        live = self.state.get(name)
        if live is None or is_lazy(live):
            return True
        return read.source[read.names.taken[name]].shape == tuple(live.shape)

    def _expect_kinds(self, chosen: Mapping[str, _Read]) -> None:
        """Note what would stand for real numbers and holds none, as quantized weights would."""
        for read in self.read:
            found: dict[str, list[str]] = {}
            for name, one in chosen.items():
                if one is read and name in self.state and self.state[name].is_floating_point():
                    unfit = read.source[read.names.taken[name]].unfit
                    found.setdefault(unfit, []).append(f'"{name}"')
            for unfit, names in found.items():
                if not unfit:
                    continue
                why = ", as quantized weights are" if unfit == "whole numbers" else ""
                self._note(
                    f"{self._what}: {read.spec.shown} has {unfit} for "
                    f'{", ".join(names[:_MOST])}{why}; a "factory_fn" can turn them into what they '
                    "stand for",
                    read.path,
                )

    # What became of them

    def _note_rows(
        self, chosen: Mapping[str, _Read], misshapen: Mapping[str, _Read], unknown: set[str]
    ) -> None:
        order = {name: place for place, name in enumerate(self.state)}
        for read in self.read:
            names = {**read.names.taken, **read.names.left}
            for name in sorted(names, key=lambda name: order.get(name, len(order))):
                there = names[name]
                self._note_row(name, there, read, chosen.get(name), unknown)

    def _note_row(
        self, name: str, there: str, read: _Read, chosen: _Read | None, unknown: set[str]
    ) -> None:
        live, shape = self.state.get(name), read.source[there].shape
        here = None if live is None or is_lazy(live) else tuple(live.shape)
        row = WeightsRow(name, "left out", read.spec.shown, there, shape, here)
        if name in read.names.left:
            row = row._replace(why="as the config says")
        elif name in unknown or (chosen is None and live is None):
            row = row._replace(why=_UNKNOWN)
        elif not self._has_shape(name, read) and chosen in (read, None):
            row = row._replace(outcome="other shape")
        elif chosen is not read:
            by = chosen.spec.shown if chosen is not None else ""
            row = row._replace(why=f"{by} has it too, and wins")
        else:
            row = row._replace(outcome="taken")
        self.report.rows.append(row)

    def _note_missing(self, there: set[str]) -> None:
        """Note what no source has; what is one tensor with something that was taken, is taken."""
        tied = {id(self.state[name]) for name in there if name in self.state}
        for name, live in self.state.items():
            if name not in there and id(live) not in tied:
                here = None if is_lazy(live) else tuple(live.shape)
                explained = not any(reaches(read.spec, name) for read in self.read)
                why = "the config asks for none" if explained else ""
                row = WeightsRow(name, "missing", shape_here=here, why=why)
                self.report.rows.append(row)

    # What is wrong

    def _expect_effects(self, read: _Read) -> None:
        """Every part of the config has an effect."""
        spec, path = read.spec, read.path
        known = [*read.names.taken, *read.names.left]
        for one in (*read.names.unmatched, *idle_patterns(spec, known, self.state)):
            self._note(one.message, (*path, *one.path))
        if spec.into is not None and not self._has_part(spec.into):
            parts = [name for name, _ in self.model.named_modules() if name]
            message = f'the model "{self.one.name}" has no part "{spec.into}"'
            self._note(f"{message}{near(spec.into, parts)}", (*path, "into"))
        elif spec.into is not None and not self.state.keys() & {*known}:
            absolute = [name for name in read.source if name in self.state]
            if absolute:
                message = (
                    f'{spec.shown} has names that begin with "{spec.into}." already: leave out '
                    f'"into", and write "include": ["{spec.into}.*"]'
                )
                self._note(f"{self._what}: {message}", (*path, "into"))

    def _has_part(self, path: str) -> bool:
        return any(name.startswith(f"{path}.") for name in self.state)

    def _judge(self) -> None:
        """Note what does not fit, and should."""
        for read in self.read:
            if not read.spec.strict:
                continue
            own = [row for row in self.report.rows if row.source == read.spec.shown]
            unknown = [row for row in own if row.why == _UNKNOWN and row.name in read.names.taken]
            if unknown:
                hint = self._hint(read, [row.name for row in unknown])
                self._note(
                    f"{self._what}: the model does not have {_listed(unknown)} of "
                    f"{read.spec.shown}{hint}",
                    read.path,
                )
            misshapen = [row for row in own if row.outcome == "other shape"]
            if misshapen:
                self._note(
                    f"{self._what}: {read.spec.shown} has other shapes: {_listed(misshapen)}; "
                    f'"exclude" leaves them as the class made them, or a "factory_fn" gives '
                    "tensors of the right shapes",
                    read.path,
                )
        missing = [row for row in self.report.missing if self._is_due(row.name)]
        if missing:
            self._note(
                f'{self._what}: nothing gives {_listed(missing)}; "exclude" says that they stay as '
                'the class made them, "strict": false takes what is there',
                self._path,
            )

    def _is_due(self, name: str) -> bool:
        """Whether a strict source should have a name."""
        return any(read.spec.strict and reaches(read.spec, name) for read in self.read)

    def _hint(self, read: _Read, unknown: list[str]) -> str:
        """How names would fit, where they have a word too many or lack one."""
        inside = f"{read.spec.into}." if read.spec.into else ""
        plain = [name.removeprefix(inside) for name in unknown]
        first = {name.partition(".")[0] for name in plain}
        if len(first) == 1 and all(f"{inside}{n.partition('.')[2]}" in self.state for n in plain):
            pair = f'[["^{first.pop()}\\\\.", ""]]'
            return f'; "rename": {pair} takes that word away'
        homes = {name.partition(".")[0] for name in self.state}
        for home in homes if not inside else ():
            if all(f"{home}.{name}" in self.state for name in plain):
                return f'; "into": "{home}" puts them where the model has them'
        return '; "exclude" leaves them out, "rename" gives them other names' + (
            near(unknown[0], self.state) if len(unknown) == 1 else ""
        )

    @property
    def _what(self) -> str:
        return f'the weights of the model "{self.one.name}"'

    @property
    def _path(self) -> Path:
        return (*self.one.path, "weights")

    def _note(self, message: str, path: Path) -> None:
        self.wrong.append(Problem(message, self.maker.place_of(path)))

    def _raise_if_any(self) -> None:
        if self.wrong:
            raise ConfigError(*self.wrong)


_UNKNOWN = "the model has no such name"


def _listed(rows: list[WeightsRow]) -> str:
    shown = ", ".join(row.shown for row in rows[:_MOST])
    return f"{shown}, … ({len(rows)} in all)" if len(rows) > _MOST else shown
