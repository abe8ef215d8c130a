"""From segments to the files that a user sees: joined videos, one table, the figures and the summary."""

import csv
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmext.common.figures import save_figure
from mmext.common.files import replacing
from mmext.segmentation.evaluation.stage_figure import StageRow, stage_figure
from mmext.segmentation.video.class_shares import draw_timeline
from mmext.segmentation.video.clock import OutputClock
from mmext.segmentation.video.joining import Piece, Sound, join_pieces
from mmext.segmentation.video.network import VideoModel
from mmext.segmentation.video.outputs import COMPARISON, TABLE, kept_frame_name, table_header, video_names
from mmext.segmentation.video.segments import SegmentState
from mmext.segmentation.video.sources import SourceInfo

SHEET, TIMELINE, SUMMARY = 'contact_sheet.png', 'timeline.png', 'summary.json'
# Sound that runs away from the pictures by more than this is worse than none.
MOST_DRIFT_SECONDS = Fraction(1, 10)
SHEET_DPI = 200


class WrittenSegment(NamedTuple):
    """A segment whose files are finished.

    Attributes:
        folder: With its files.
        state: Where it ends.
    """

    folder: Path
    state: SegmentState


def write_results(
    segments: Sequence[WrittenSegment],
    models: Sequence[VideoModel],
    out: Path,
    info: SourceInfo,
    clock: OutputClock,
    share: float,
    chosen: Sequence[int],
) -> tuple[dict[str, Any], list[str]]:
    """Write all results; each file appears when it is whole.

    Args:
        segments: At least one, in order.
        models: At least one; all have the same classes.
        out: Folder of the results.
        info: Of the source.
        clock: Of the output.
        share: Of the colour in the contact sheet.
        chosen: Places of its frames, from 1.

    Returns:
        What the summary tells of them, and notes for the user.
    """
    notes = []
    sound = _sound(segments[-1].state, info, clock, notes)
    for name in [COMPARISON, *(name for model in models for name in video_names(model.name))]:
        mixed = name in {video_names(model.name)[1] for model in models}
        pieces = [Piece(found.folder / name, found.state.first_tick * clock.time_base) for found in segments]
        why_silent = join_pieces(pieces, out / name, sound if mixed else None)
        if why_silent:
            notes.append(f'{name} has no sound: {why_silent}')
    classes, palette = models[0].classes, models[0].palette
    _join_tables(segments, out / TABLE, classes)
    courses = draw_timeline(out / TABLE, out / TIMELINE, [model.name for model in models], classes, palette)
    missing = _write_sheet(segments, models, out / SHEET, share, chosen)
    if missing:
        last = sum(found.state.frames for found in segments)
        notes.append(f'no frame {", ".join(map(str, missing))} for the contact sheet: the last one is {last}')
    told = {
        name: {
            'flicker': course.mean_flicker,
            'class_shares': {classes[i]: round(float(part), 6) for i, part in enumerate(course.mean_shares) if part},
        }
        for name, course in courses.items()
    }
    return told, notes


def _sound(state: SegmentState, info: SourceInfo, clock: OutputClock, notes: list[str]) -> Sound | None:
    if info.sound is None:
        return None
    drift = state.tick * clock.time_base - Fraction(state.seconds)
    if abs(drift) > MOST_DRIFT_SECONDS:
        pace = 'slower' if drift > 0 else 'faster'
        notes.append(f'the mixes have no sound: with --fps they run {pace} than it ({abs(float(drift)):.1f} s apart)')
        return None
    return Sound(info.sound, info.start)


def _join_tables(segments: Sequence[WrittenSegment], path: Path, classes: Sequence[str]) -> None:
    with replacing(path) as unfinished, unfinished.open('w', newline='', encoding='utf-8') as table:
        csv.writer(table, lineterminator='\n').writerow(table_header(classes))
        for found in segments:
            with (found.folder / TABLE).open(encoding='utf-8', newline='') as piece:
                shutil.copyfileobj(piece, table)


def _write_sheet(
    segments: Sequence[WrittenSegment], models: Sequence[VideoModel], path: Path, share: float, chosen: Sequence[int]
) -> list[int]:
    """The chosen frames below each other: input, then one column a model. Returns the places that there are not."""
    rows, missing = [], []
    for place in chosen:
        file = next(
            (f.folder / kept_frame_name(place) for f in segments if (f.folder / kept_frame_name(place)).is_file()), None
        )
        if file is None:
            missing.append(place)
            continue
        with np.load(file) as kept:
            rows.append(StageRow(f'frame {place}', kept['picture'][..., ::-1], list(kept['labels']), None))
    if rows:
        figure = stage_figure(rows, [model.name for model in models], models[0].classes, models[0].palette, share)
        save_figure(figure, path, SHEET_DPI)
    else:
        path.unlink(missing_ok=True)  # one of an earlier run would be taken for this one's
    return missing
