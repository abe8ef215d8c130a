"""The command line of the video tool: its arguments, the progress that it shows and what it says in the end."""

import argparse
import signal
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mmext.common.arguments import at_least
from mmext.common.prediction.inputs import check_outputs
from mmext.common.stop_signals import StopRequest
from mmext.segmentation.video.clock import parse_rate
from mmext.segmentation.video.network import SegmenterModel
from mmext.segmentation.video.other_sources import ImageFolder, open_source
from mmext.segmentation.video.studio import Outcome, StudioOptions, output_frames, segment_video


class ModelArgument(NamedTuple):
    """One model of a command line.

    Attributes:
        name: Of its files.
        config: Config file.
        checkpoint: Weights; None for random ones.
    """

    name: str
    config: str
    checkpoint: str | None


def model_arguments(models: Sequence[Sequence[str]]) -> list[ModelArgument]:
    """Read ``CONFIG``, ``CONFIG CHECKPOINT`` or ``NAME CONFIG CHECKPOINT`` of each model.

    Models without a name get that of their config, and that of their checkpoint too where configs are the same.

    Raises:
        ValueError: another number of values, or names that cannot be those of files.
    """
    found = []
    for values in models:
        if len(values) > 3:
            raise ValueError(f'{" ".join(values)}: expected [NAME] CONFIG CHECKPOINT')
        name, config, checkpoint = values if len(values) == 3 else ('', *values, None)[:3]
        found.append(ModelArgument(name, config, checkpoint))
    stems = [Path(model.config).stem for model in found]
    named = []
    for model, stem in zip(found, stems, strict=True):
        if not model.name and stems.count(stem) > 1 and model.checkpoint:
            stem = f'{stem}_{Path(model.checkpoint).stem}'
        named.append(model._replace(name=model.name or stem))
    names = [model.name for model in named]
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(
            f'every model needs a name of its own, got {", ".join(names)}; NAME CONFIG CHECKPOINT gives it'
        )
    for name in names:
        if name.startswith('.') or set(name) & set('/\\\0'):
            raise ValueError(f'{name}: becomes part of file names, so it must not hold / or \\ or begin with a dot')
    return named


def rate_argument(text: str) -> Fraction:
    """A frame rate, as an exact fraction."""
    try:
        return parse_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def share_argument(text: str) -> float:
    """A number from 0 to 1."""
    share = at_least(0, float)(text)
    if share > 1:
        raise argparse.ArgumentTypeError(f'{text}: a share lies between 0 and 1')
    return share


def run(args: argparse.Namespace) -> int:
    """Segment the video of a command line.

    Returns:
        The exit status: 0, 1 where the video could not be read to its end, 128 + the signal where one stopped it.

    Raises:
        ValueError, OSError: to be told in one line.
    """
    source = open_source(args.video, args.fps)
    if isinstance(source, ImageFolder):
        check_outputs(args.out, None, [args.video], source.paths)
    models = []
    for name, config, checkpoint in args.model:
        models.append(SegmenterModel(name, config, checkpoint, args.device, args.amp, args.cfg_options))
        if checkpoint is None:
            print(f'warning: {name} has random weights: no checkpoint was given', file=sys.stderr)
    chosen = tuple(dict.fromkeys(args.frames)) if args.frames else None
    options = StudioOptions(args.every, args.fps, args.mix, args.batch, chosen, args.resume)
    stop = StopRequest(lambda name: print(f'{name}: finishing the files; again to stop at once', file=sys.stderr))
    stop.install()
    try:
        with _progress() as progress:
            task = progress.add_task('frames', total=output_frames(source.info.frames, args.every))
            outcome = segment_video(
                source, models, args.out, options, lambda: bool(stop.number), lambda n: progress.advance(task, n)
            )
    finally:
        stop.uninstall()
    return _report(outcome, args.out, stop.number)


def _report(outcome: Outcome, out: Path, signal_number: int) -> int:
    table = Table('model', 'flicker', 'most of the pixels', title=f'{out}: {outcome.frames} frames')
    for name, told in outcome.models.items():
        shares = sorted(told['class_shares'].items(), key=lambda entry: -entry[1])[:4]
        flicker = '-' if told['flicker'] is None else f'{told["flicker"]:.2%}'
        table.add_row(name, flicker, ', '.join(f'{label} {share:.1%}' for label, share in shares))
    Console().print(table)
    if done := outcome.frames - outcome.resumed:
        print(f'{done} frames in {outcome.seconds:.1f} s: {done / outcome.seconds:.2f} frames a second')
    if outcome.resumed:
        print(f'{outcome.resumed} frames were done before')
    for note in outcome.notes:
        print(f'note: {note}')
    if outcome.error:
        print(f'error: {outcome.error}; {out} has the frames before', file=sys.stderr)
        return 1
    if not outcome.complete:
        print(f'stopped after {outcome.frames} frames, which can be played; --resume goes on', file=sys.stderr)
        return 128 + (signal_number or signal.SIGINT)
    return 0


class _FpsColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f'{speed:.1f} fps' if speed else '- fps')


def _progress() -> Progress:
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), _FpsColumn(), TextColumn('left'))
    # On stderr, so that what is printed about the results can be piped.
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), speed_estimate_period=10)
