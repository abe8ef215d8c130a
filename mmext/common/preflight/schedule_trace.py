"""The learning rate of a whole training, by stepping mmengine's own schedulers without training anything."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.config import Config
from torch import nn

from mmext.common.figures import save_figure
from mmext.common.loops.stage_optimizer import build_stage_schedulers, build_trainable_optim_wrapper
from mmext.common.loops.stage_schedule import Stage, lr_scales, parse_stages

from .config_facts import batch_size, batch_sizes, parse_name, run_length, stages_of
from .finding import ERROR, PASS, WARNING, Finding
from .gradient_flow import optimizer_settings

POINTS = 2000  # kept for the plot


@dataclass
class Trace:
    """Rates over the iterations of a run.

    Attributes:
        steps: Iterations, from 0.
        rates: Name of a group of parameters -> its rate at each of the steps.
        total: Iterations of the run.
        starts: First iterations of the stages.
        highest: Of all iterations, by group; `lowest` likewise.
        zero: Share of the iterations in which the rate of every group is 0.
        full: Rate that the optimiser was given, by group, of the first stage.
        notes: What could not be followed.
    """

    total: int
    steps: list[int] = field(default_factory=list)
    rates: dict[str, list[float]] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    highest: dict[str, float] = field(default_factory=dict)
    lowest: dict[str, float] = field(default_factory=dict)
    zero: float = 0.0
    full: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """A stretch of a run with one optimiser: the run itself, or a stage."""

    epochs: int
    epoch_length: int
    iterations: int
    schedulers: Sequence[dict]
    factor: float  # of the rates of the first part
    counts_epochs: bool = True


def epoch_length(cfg: Config, samples: int, size: int | None = None) -> int:
    """Iterations an epoch of one process among those that the file name promises."""
    loader, share = cfg.train_dataloader, math.ceil(samples / processes_of(cfg))
    size = size or batch_size(cfg)
    return max(share // size if loader.get('drop_last', False) else math.ceil(share / size), 1)


def processes_of(cfg: Config) -> int:
    """Number of processes that the file name promises; 1 if it does not say."""
    name = parse_name(cfg.filename or '')
    return name.processes if name else 1


def parts_of(cfg: Config, samples: int) -> list[Part]:
    """The stretches of a run with their lengths."""
    auto = cfg.get('auto_scale_lr') or {}
    if stages_of(cfg):
        sizes = batch_sizes(cfg)
        parsed = [replace(stage, batch_size=size) for stage, size in zip(_stages(cfg), sizes, strict=True)]
        scales = lr_scales(parsed, auto, processes_of(cfg))
        rates = [stage.lr or cfg.optim_wrapper.optimizer.get('lr') for stage in parsed]
        lengths = [epoch_length(cfg, samples, stage.batch_size) for stage in parsed]
        return [
            Part(stage.epochs, length, stage.epochs * length, stage.schedulers(), scale * rate / rates[0])
            for stage, length, scale, rate in zip(parsed, lengths, scales, rates, strict=True)
        ]
    total, in_epochs = run_length(cfg) or (0, True)
    length = epoch_length(cfg, samples)
    settings = cfg.get('param_scheduler') or []
    settings = [settings] if isinstance(settings, dict) else list(settings)
    factor = processes_of(cfg) * batch_size(cfg) / auto['base_batch_size'] if auto.get('enable') else 1.0
    if in_epochs:
        return [Part(total, length, total * length, settings, factor)]
    settings = [
        dict(end=total) | scheduler if not scheduler.get('by_epoch', True) else scheduler for scheduler in settings
    ]
    return [Part(1, length, total, settings, factor, counts_epochs=False)]


def _stages(cfg: Config) -> list[Stage]:
    return parse_stages([dict(stage) for stage in stages_of(cfg)])


def rate_groups(cfg: Config, model: nn.Module) -> dict[str, float]:
    """Name -> learning rate of the groups of parameters that differ in it, the largest group first."""
    wrapper = build_trainable_optim_wrapper(model, optimizer_settings(cfg))
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups: dict[float, list[str]] = {}
    for group in wrapper.optimizer.param_groups:
        groups.setdefault(float(group['lr']), []).extend(names[parameter] for parameter in group['params'])
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return {_group_name(members, len(groups)): rate for rate, members in ordered}


def _group_name(members: Sequence[str], groups: int) -> str:
    if groups == 1:
        return 'all parameters'
    tops = sorted({name.partition('.')[0] for name in members})
    return f'{", ".join(tops[:2])}{", ..." if len(tops) > 2 else ""} ({len(members)} tensors)'


def trace_rates(parts: Sequence[Part], groups: dict[str, float]) -> Trace:
    """Steps the schedulers through all parts, as mmengine's hook does: by iteration, and at the end of an epoch."""
    total = sum(part.iterations for part in parts)
    trace = Trace(total, rates={name: [] for name in groups}, full={n: r * parts[0].factor for n, r in groups.items()})
    every, zeros, done = max(math.ceil(total / POINTS), 1), 0, 0
    seen: dict[str, list[float]] = {name: [] for name in groups}
    for part in parts:
        trace.starts.append(done)
        optimizer = torch.optim.SGD(
            [dict(params=[nn.Parameter(torch.zeros(1))], lr=rate * part.factor) for rate in groups.values()],
            lr=1.0,
            momentum=0.9,
        )
        settings = [each for each in part.schedulers if 'Plateau' not in str(each.get('type'))]
        if len(settings) < len(part.schedulers):
            trace.notes.append('a scheduler that waits for a plateau cannot be followed without training')
        schedulers = build_stage_schedulers(settings, optimizer, part.epochs, part.epoch_length)
        optimizer.step()
        for index in range(part.iterations):
            rates = [group['lr'] for group in optimizer.param_groups]
            zeros += not any(rates)
            for name, rate in zip(groups, rates, strict=True):
                seen[name] = [min([rate, *seen[name][:1]]), max([rate, *seen[name][1:]])]
            if (done + index) % every == 0 or index in (0, part.iterations - 1):
                trace.steps.append(done + index)
                for name, rate in zip(groups, rates, strict=True):
                    trace.rates[name].append(rate)
            epoch_ends = part.counts_epochs and (index + 1) % part.epoch_length == 0
            for scheduler in schedulers:
                if not scheduler.by_epoch or epoch_ends:
                    scheduler.step()
        done += part.iterations
    trace.lowest, trace.highest = ({name: values[end] for name, values in seen.items()} for end in (0, 1))
    trace.zero = zeros / total if total else 0.0
    return trace


def judge_trace(trace: Trace) -> list[Finding]:
    """Whether the rate is ever usable, and reaches what the optimiser was given."""
    values = dict(total=trace.total, highest=trace.highest, lowest=trace.lowest, zero_share=trace.zero)
    ends = {name: (rates[0], rates[-1]) for name, rates in trace.rates.items() if rates}
    described = '; '.join(
        f'{name}: {first:.3g} -> {trace.highest[name]:.3g} -> {last:.3g}' for name, (first, last) in ends.items()
    )
    text = f'{trace.total:,} iterations; first, highest and last rate of {described}'
    notes = f' ({"; ".join(trace.notes)})' if trace.notes else ''
    found = []
    rates = [rate for ends in (trace.lowest, trace.highest) for rate in ends.values()]
    if any(not math.isfinite(rate) or rate < 0 for rate in rates):
        return [Finding('schedule', ERROR, f'{text}: negative or not finite', 'look at the schedulers', values)]
    if not any(trace.highest.values()):
        return [Finding('schedule', ERROR, f'{text}: nothing is ever learnt', 'set optimizer.lr', values)]
    if trace.zero > 0.02:
        fix = 'let the last scheduler end with the run, or give it an eta_min'
        found.append(Finding('schedule', WARNING, f'the rate is 0 in {trace.zero:.0%} of the iterations', fix, values))
    for name, full in trace.full.items():
        if trace.highest[name] < 0.9 * full:
            reached = f'{name}: the rate reaches {trace.highest[name]:.3g} at most, the optimiser was given {full:.3g}'
            found.append(Finding('schedule', WARNING, reached, 'shorten the warm-up, or lengthen the run', values))
    return found or [Finding('schedule', PASS, text + notes, '', values)]


def trace_figure(trace: Trace, title: str) -> Figure:
    """Rate over iterations; stages are divided by lines."""
    figure = Figure(figsize=(8, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, rates in trace.rates.items():
        axes.plot(trace.steps, rates, label=name, linewidth=1.6)
    for start in trace.starts[1:]:
        axes.axvline(start, color='0.5', linestyle=':', linewidth=1)
    positive = [rate for rates in trace.rates.values() for rate in rates if rate > 0]
    if positive and len(trace.rates) > 1 and max(positive) > 5 * min(trace.highest.values()):
        axes.set_yscale('log')
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel('iteration')
    axes.set_ylabel('learning rate')
    axes.set_title(title, loc='left', fontsize='medium')
    axes.grid(color='0.9')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize='small')
    return figure


def check_schedule(cfg: Config, model: nn.Module, samples: int, path: Path) -> list[Finding]:
    """Traces the rates of a run and draws them.

    Args:
        cfg: The config.
        model: Whose parameters the optimiser would train.
        samples: Length of the training set.
        path: Of the picture.
    """
    if run_length(cfg) is None:
        return [Finding('schedule', ERROR, 'train_cfg names no max_epochs, max_iters or stages', 'set one')]
    trace = trace_rates(parts_of(cfg, samples), rate_groups(cfg, model))
    save_figure(trace_figure(trace, Path(cfg.filename or 'config').stem), path)
    found = judge_trace(trace)
    found[0].values.update(plot=str(path))
    return found
