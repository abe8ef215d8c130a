"""The pairs of a search for leaks, side by side on one HTML page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmext.common.html_page import Column, HtmlPage, Section, Thumbnail

from .leak_report import MESSAGES, LeakReport, Pair
from .listing import Sample, open_image
from .records import DECODE_ERRORS
from .thumbnails import encode, side_by_side, to_rgb

FILE_NAME = 'leaks.html'
# The page's size is bounded: about 15 kB a pair, whatever was found. The JSON beside it lists all.
MAX_SHOWN = 120
MAX_ROWS = 2000
# Of a pair. Wide pictures, such as KITTI's, stand above each other, where they are shown twice as large.
PAIR_WH = (440, 240)
GAP = 4
WIDE = 1.6
SECTIONS = {'error': 'Leaks', 'warning': 'Perhaps leaks', 'note': 'Twice in one split'}
INTROS = {
    'error': 'On the left, or above, the picture of the split named first. What one trains, the other tests.',
    'warning': 'Worth a look; they fail no check.',
    'note': 'They weigh some pictures twice, but make no score wrong.',
}
COLUMNS = (
    Column('kind'),
    Column('first'),
    Column('split'),
    Column('second'),
    Column('split'),
    Column('bits', ',d', 'Bits of 64 in which the perceptual hashes differ'),
    Column('structure', '.2f', 'Correlation of the pictures without their trend of brightness; 1 is the same'),
    Column('detail', '.2f', 'Correlation of their small details; 1 is the same'),
    Column('frames apart', ',d', 'Difference of the numbers in the names'),
)


def build_page(report: LeakReport) -> HtmlPage:
    """The page of a report; pictures are read from their files."""
    errors, warnings = (len(report.of_level(level)) for level in ('error', 'warning'))
    verdict = f'Pairs of pictures that leak between splits: {errors}.' if errors else 'No leak was found.'
    facts = {
        **{f'Pictures in {split}': count for split, count in report.splits.items()},
        'Leaks (pairs)': errors,
        'Perhaps leaks (pairs)': warnings,
        'To leave out of the training': len(report.to_leave_out()),
    }
    page = HtmlPage('Leaks between splits', f'{report.source}\n{verdict}', facts, 'Made by tools/find_leaks.py.')
    findings = page.section('Findings', count=len(report.findings()))
    if not report.findings():
        findings.notice('ok', 'clean', 'No picture is in two splits, and none is in one twice.')
    for finding in report.findings():
        items = [
            f'{name}: {detail}' for name, detail in zip(finding.files, finding.details or finding.files, strict=False)
        ]
        findings.notice(finding.level, finding.kind, finding.message, finding.fix, items, finding.count)
    for level, pairs in (
        ('error', report.of_level('error')),
        ('warning', report.of_level('warning')),
        ('note', report.within),
    ):
        if pairs:
            _add_pairs(page.section(SECTIONS[level], INTROS[level], len(pairs)), pairs, report)
    return page


def _add_pairs(section: Section, pairs: Sequence[Pair], report: LeakReport) -> None:
    shown = spread_over_kinds(pairs, MAX_SHOWN)
    more = f'{len(shown)} of {len(pairs)} pairs; leaks.json lists all.' if len(shown) < len(pairs) else ''
    section.gallery([pair_thumbnail(pair, report) for pair in shown], more, wide=True)
    short = _short_names([name for pair in pairs for name in (pair.first, pair.second)])
    rows = [
        (
            pair.kind,
            short[pair.first],
            pair.first_split,
            short[pair.second],
            pair.second_split,
            pair.distance,
            pair.structure,
            pair.detail,
            pair.gap,
        )
        for pair in pairs[:MAX_ROWS]
    ]
    section.table(COLUMNS, rows)


def spread_over_kinds(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """At most so many pairs, of each kind as many as there is room for, the worst ones first."""
    by_kind = {kind: [pair for pair in pairs if pair.kind == kind] for kind in MESSAGES}
    by_kind = {kind: found for kind, found in by_kind.items() if found}
    taken: dict[str, int] = dict.fromkeys(by_kind, 0)
    while sum(taken.values()) < min(count, len(pairs)):
        open_kinds = [kind for kind, found in by_kind.items() if taken[kind] < len(found)]
        taken[min(open_kinds, key=lambda kind: taken[kind])] += 1
    return [pair for kind, found in by_kind.items() for pair in found[: taken[kind]]]


def pair_thumbnail(pair: Pair, report: LeakReport) -> Thumbnail:
    """Both pictures beside each other, or above each other, in frames of one size."""
    picture = encode(join_pair(*(_read(report.samples.get(name)) for name in (pair.first, pair.second))))
    short = _short_names([pair.first, pair.second])
    scores = f'structure {pair.structure:.2f}, detail {pair.detail:.2f}' if pair.structure is not None else ''
    lines = [f'{pair.first_split}: {short[pair.first]}', f'{pair.second_split}: {short[pair.second]}', pair.reason]
    return Thumbnail(picture, pair.kind, [line for line in (*lines, scores) if line], pair.level)


def join_pair(first: np.ndarray | None, second: np.ndarray | None) -> Image.Image:
    """One picture of two, (H, W, 3) uint8 each; None leaves its frame empty."""
    pictures = [picture for picture in (first, second) if picture is not None]
    stacked = bool(pictures) and all(picture.shape[1] > WIDE * picture.shape[0] for picture in pictures)
    width, height = PAIR_WH
    frame_wh = (width, (height - GAP) // 2) if stacked else ((width - GAP) // 2, height)
    whole = Image.new('RGB', PAIR_WH, (128, 128, 128))
    for place, picture in enumerate((first, second)):
        if picture is not None:
            small = Image.fromarray(side_by_side([picture], frame_wh))
            left, top = (0, place * (frame_wh[1] + GAP)) if stacked else (place * (frame_wh[0] + GAP), 0)
            whole.paste(small, (left + (frame_wh[0] - small.width) // 2, top + (frame_wh[1] - small.height) // 2))
    return whole


def _read(sample: Sample | None) -> np.ndarray | None:
    """The picture; None where it cannot be read."""
    try:
        if sample is None:
            return None
        with open_image(sample) as image:
            return to_rgb(image)
    except DECODE_ERRORS:
        return None


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """The last two parts of each path, enough to find the file; indices of pictures in a file stay."""
    return {name: '/'.join(Path(name).parts[-2:]) for name in names}
