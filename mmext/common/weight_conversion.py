"""Pieces that every weight converter shares: renaming rules that account for each tensor, and the report they leave.

A converter is a list of `Rule`s, one per tensor that the target architecture needs. `apply_rules` carries them out
and puts every tensor of the source and of the target into exactly one list of a `ConversionReport`, so that nothing
is dropped or left at its random initialisation without being named. Files are read and written by `weight_files`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from rich.table import Table
from torch import Tensor

from mmext.common.weight_files import WeightsError, read_state_dict, write_state_dict

__all__ = [
    'ConversionReport',
    'LeftOver',
    'Mismatched',
    'Missing',
    'Renamed',
    'Rule',
    'WeightsError',
    'apply_rules',
    'constant_rule',
    'read_state_dict',
    'write_state_dict',
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Rule:
    """How one tensor of the target comes about.

    Attributes:
        target: Its name in the target architecture.
        sources: Names of the source tensors it is made of, in the order `build` takes them, and the shape that each
            must have. Empty for a tensor that the source layout has no counterpart of.
        build: Makes the target tensor from the source tensors.
        note: What is done besides renaming, for the report (`'concatenate'`, `'reshape to 1x1 convolution'`).
    """

    target: str
    sources: Mapping[str, Shape]
    build: Callable[..., Tensor] = lambda tensor: tensor
    note: str = ''


@dataclass(frozen=True)
class Renamed:
    """A target tensor made of one or several source tensors (of none: an entry of `ConversionReport.added`)."""

    sources: tuple[str, ...]
    target: str
    shape: Shape
    note: str = ''


@dataclass(frozen=True)
class LeftOver:
    """A source tensor that the target does not need."""

    source: str
    shape: Shape
    reason: str = 'the architecture has no such tensor'


@dataclass(frozen=True)
class Missing:
    """A source tensor that the target needs and the file does not hold."""

    source: str
    target: str
    shape: Shape


@dataclass(frozen=True)
class Mismatched:
    """A source tensor of another shape than the architecture demands."""

    source: str
    target: str
    found: Shape
    expected: Shape


@dataclass
class ConversionReport:
    """What became of every tensor.

    Attributes:
        layout: Whose names the source uses, e.g. `'NVlabs'`.
        arch: Architecture that the result fits, e.g. `'b0'`.
        matched: Source tensors taken over under their own name, unchanged.
        renamed: Source tensors renamed, merged or reshaped.
        added: Target tensors with no counterpart in the source, set to constants that keep the outputs the same.
        left_over: Source tensors not used.
        missing: Source tensors needed but absent.
        mismatched: Source tensors of a wrong shape.
        notes: What somebody who loads the result has to know.
    """

    layout: str = ''
    arch: str = ''
    matched: list[str] = field(default_factory=list)
    renamed: list[Renamed] = field(default_factory=list)
    added: list[Renamed] = field(default_factory=list)
    left_over: list[LeftOver] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    mismatched: list[Mismatched] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the target architecture got everything it needs, in the right shape."""
        return not self.missing and not self.mismatched

    @property
    def counts(self) -> dict[str, int]:
        kinds = ('matched', 'renamed', 'added', 'left_over', 'missing', 'mismatched')
        return {kind: len(getattr(self, kind)) for kind in kinds}

    def summary(self) -> str:
        """One line: layout, architecture and how many tensors of each kind."""
        numbers = ', '.join(f'{count} {kind.replace("_", " ")}' for kind, count in self.counts.items())
        return f'{self.layout} -> {self.arch}: {numbers}'

    def error(self, source: str) -> str:
        """The one message to show when `ok` is false: file, tensor, shape and fix; empty when it is true."""
        if self.ok:
            return ''
        more = len(self.missing) + len(self.mismatched) - 1
        others = f' (and {more} more tensors, see the table)' if more else ''
        if self.mismatched:
            bad = self.mismatched[0]
            return (
                f'{source}: tensor {bad.source!r} has shape {bad.found}, {self.arch} needs {bad.expected}{others}. '
                f'Fix: name the architecture that the file was trained with, or let it be detected.'
            )
        lost = self.missing[0]
        return (
            f'{source}: tensor {lost.source!r} of shape {lost.shape} is missing, {self.arch} needs it for '
            f'{lost.target!r}{others}. Fix: fetch the file again and compare its size and SHA-256 with the published '
            f'ones, or name the architecture that it was trained with.'
        )

    def to_dict(self) -> dict:
        """The report as plain lists, numbers and strings."""
        return {'ok': self.ok, 'counts': self.counts, **asdict(self)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + '\n'

    def table(self) -> Table:
        """One row per tensor, trouble first, so that the last screen of a long table is not the only one read."""
        table = Table(title=self.summary(), title_justify='left')
        for column in ('what', 'source', 'target', 'shape', 'note'):
            table.add_column(column, overflow='fold')
        for bad in self.mismatched:
            table.add_row('mismatched', bad.source, bad.target, str(bad.found), f'must be {bad.expected}')
        for lost in self.missing:
            table.add_row('missing', lost.source, lost.target, str(lost.shape), '')
        for name in self.matched:
            table.add_row('matched', name, name, '', '')
        for entry in self.renamed:
            table.add_row('renamed', '\n'.join(entry.sources), entry.target, str(entry.shape), entry.note)
        for entry in self.added:
            table.add_row('added', '', entry.target, str(entry.shape), entry.note)
        for rest in self.left_over:
            table.add_row('left over', rest.source, '', str(rest.shape), rest.reason)
        return table


def constant_rule(target: str, shape: Shape, value: float, note: str, dtype: torch.dtype | None = None) -> Rule:
    """A rule for a target tensor that the source layout has no counterpart of.

    Args:
        target: Name of the tensor in the target architecture.
        shape: Its shape.
        value: The number that fills it.
        note: Why this number is right.
        dtype: Its type; torch's default float type if None.
    """
    return Rule(target, {}, lambda: torch.full(shape, value, dtype=dtype or torch.get_default_dtype()), note)


def apply_rules(
    state_dict: Mapping[str, Tensor],
    rules: Iterable[Rule],
    report: ConversionReport,
    reason: Callable[[str], str] | None = None,
) -> dict[str, Tensor]:
    """Carries out `rules` and enters every tensor into `report`.

    Args:
        state_dict: The source.
        rules: One per tensor of the target architecture.
        report: Filled in place.
        reason: Says why a left-over tensor is not needed; `''` falls back to the general reason.

    Returns:
        The target's state dict; without the tensors that are missing or of a wrong shape in the source, in which case
        `report.ok` is false.
    """
    converted: dict[str, Tensor] = {}
    used: set[str] = set()
    for rule in rules:
        missing = [Missing(name, rule.target, shape) for name, shape in rule.sources.items() if name not in state_dict]
        wrong = [
            Mismatched(name, rule.target, tuple(state_dict[name].shape), shape)
            for name, shape in rule.sources.items()
            if name in state_dict and tuple(state_dict[name].shape) != shape
        ]
        report.missing.extend(missing)
        report.mismatched.extend(wrong)
        used.update(bad.source for bad in wrong)
        if missing or wrong:
            continue
        used.update(rule.sources)
        converted[rule.target] = tensor = rule.build(*(state_dict[name] for name in rule.sources))
        _enter(report, rule, tuple(tensor.shape))
    for name, tensor in state_dict.items():
        if name not in used:
            why = (reason(name) if reason else '') or LeftOver.reason
            report.left_over.append(LeftOver(name, tuple(tensor.shape), why))
    return converted


def _enter(report: ConversionReport, rule: Rule, shape: Shape) -> None:
    """Puts a rule that succeeded into the right list."""
    entry = Renamed(tuple(rule.sources), rule.target, shape, rule.note)
    if not rule.sources:
        report.added.append(entry)
    elif entry.sources == (rule.target,) and not rule.note:
        report.matched.append(rule.target)
    else:
        report.renamed.append(entry)
