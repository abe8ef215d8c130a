"""The passport of a dataset as one HTML page: findings with pictures of the worst files, plots, and tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmext.common.html_page import Column, HtmlPage, Section, Thumbnail
from mmext.common.light_and_dark import light_and_dark

from . import plots
from .passport import BOX_SIDE_EDGES, LEVELS, Finding, Passport
from .records import open_file
from .thumbnails import array_thumbnail, make_thumbnail

FILE_NAME = 'index.html'
# The page's size is bounded: about 20 kB a thumbnail, whatever the number of findings.
THUMBNAILS_PER_FINDING = 6
MAX_THUMBNAILS = 60
FILES_PER_FINDING = 100
MAX_ROWS = 300
PLURALS = {'error': 'Errors', 'warning': 'Warnings', 'note': 'Notes'}
INTROS = {
    'error': 'Training would crash or learn nonsense.',
    'warning': 'Training would run, but probably not as it is meant.',
    'note': 'Good to know.',
}


@dataclass
class _Pictures:
    """Makes the thumbnails of findings until there are enough."""

    passport: Passport
    pixels: Mapping[str, np.ndarray]
    left: int = MAX_THUMBNAILS
    left_out: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image_of = {annotation: image for image, annotation in self.passport.annotations.items()}
        # Its colours are those of class indices, which label ids are not.
        self.palette = () if self.passport.values.get('encoding') == 'label_ids' else self.passport.palette

    def of_finding(self, finding: Finding) -> list[Thumbnail]:
        number = min(len(finding.files), THUMBNAILS_PER_FINDING, self.left)
        self.left -= number
        if number < max(finding.count, len(finding.files)) and finding.files:
            self.left_out.append((finding.kind, number, max(finding.count, len(finding.files))))
        details = [*finding.details, *[''] * number]
        return [self._of_file(finding, finding.files[index], details[index]) for index in range(number)]

    def _of_file(self, finding: Finding, name: str, detail: str) -> Thumbnail:
        lines = [detail] if detail else []
        title = Path(name).name
        if name in self.pixels:
            return array_thumbnail(self.pixels[name], title, lines, finding.level)
        image = self.image_of.get(name, name)
        annotation = self.passport.annotations.get(image)
        if annotation is None and _is_annotation(self.passport, finding, name):
            image, annotation = None, name
        if annotation is None or not annotation.endswith('.xml'):
            return make_thumbnail(image, annotation, (), self.palette, title, lines, finding.level)
        found = open_file('xml', annotation).get('boxes', [])
        boxes = [corners for _, corners, *_ in found if corners]
        return make_thumbnail(image, None, boxes, title=title, lines=lines, level=finding.level)


def write_page(
    passport: Passport,
    folder: str | Path,
    settings: Mapping[str, Any] | None = None,
    pixels: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write ``index.html``, which needs no other file and no network.

    At most `THUMBNAILS_PER_FINDING` files of a finding and `MAX_THUMBNAILS` in all are shown, errors first; the page
    says which were left out. Files that cannot be read have a placeholder with the reason.

    Args:
        passport: What to show. Its files are read where it names them, relative to the working folder.
        folder: Where to write it; made if missing.
        settings: Of the inspection, shown at the end.
        pixels: Name in the findings -> (H, W, 3) RGB uint8, of pictures that are no files of their own.

    Returns:
        The file.
    """
    pictures = _Pictures(passport, pixels or {})
    page = HtmlPage(
        f'Data passport: {Path(passport.source).name}',
        _verdict(passport),
        _facts(passport),
        f'mmext {passport.version}, {passport.created}',
    )
    for level in LEVELS:
        if found := passport.of_level(level):
            _add_findings(page.section(PLURALS[level], INTROS[level], len(found)), found, pictures)
    if not passport.findings:
        page.section('Findings').notice('ok', 'nothing found', 'Every file was read, and nothing is wrong with it.')
    _add_splits(page.section('Splits'), passport)
    _add_classes(page, passport)
    _add_values(page, passport)
    _add_sizes(page, passport)
    _add_boxes(page, passport)
    _add_settings(page.section('Settings'), passport, pictures, settings or {})
    return page.write(Path(folder) / FILE_NAME)


def _verdict(passport: Passport) -> str:
    numbers = [(len(passport.of_level(level)), level) for level in LEVELS]
    if not passport.findings:
        return 'Nothing to complain about.'
    kinds = [f'{number} {level if number == 1 else PLURALS[level].lower()}' for number, level in numbers if number]
    ready = 'Ready for training.' if passport.ok else 'Correct the errors before training.'
    return f'{", ".join(kinds)}. {ready}'


def _facts(passport: Passport) -> dict[str, Any]:
    return {
        'Task': passport.task,
        'Source': passport.source,
        'Samples': sum(split.samples for split in passport.splits.values()),
        'Splits': ', '.join(passport.splits) or None,
        'Classes': len(passport.classes),
        'Content hash (SHA-256)': passport.content_hash or None,
    }


def _is_annotation(passport: Passport, finding: Finding, name: str) -> bool:
    """A file that no image belongs to: by the slug of the finding, as the passport says nothing about it."""
    if name.endswith('.xml'):
        return True
    return passport.task == 'segmentation' and finding.kind.startswith(('mask', 'orphan', 'spare'))


def _add_findings(section: Section, findings: list[Finding], pictures: _Pictures) -> None:
    for finding in findings:
        details = [*finding.details, *[''] * len(finding.files)]
        items = [f'{name}: {detail}' if detail else name for name, detail in zip(finding.files, details, strict=False)]
        text = '\n'.join(part for part in (finding.message, finding.reason) if part)
        title = f'{finding.kind} ({finding.split})' if finding.split else finding.kind
        section.notice(finding.level, title, text, finding.fix, items[:FILES_PER_FINDING], finding.count)
        if thumbnails := pictures.of_finding(finding):
            section.gallery(thumbnails)


def _add_splits(section: Section, passport: Passport) -> None:
    columns = [Column('split'), Column('samples'), Column('unreadable'), Column('without annotation')]
    rows = [[name, split.samples, split.unreadable, split.unlabeled] for name, split in passport.splits.items()]
    columns.append(Column('classes', hint='that occur'))
    for row, split in zip(rows, passport.splits.values(), strict=True):
        counts = _class_counts(passport, split)
        row.append(sum(count > 0 for count in counts) if counts else None)
    if passport.task == 'segmentation':
        columns.append(Column('ignored pixels', '.1%', hint='share of all pixels of the masks'))
        for row, split in zip(rows, passport.splits.values(), strict=True):
            pixels = sum(split.class_pixels) + split.ignored_pixels
            row.append(split.ignored_pixels / pixels if pixels else None)
    columns += [Column('images'), Column('masks')] if passport.task == 'segmentation' else [Column('images')]
    for row, split in zip(rows, passport.splits.values(), strict=True):
        row.append(_counted(split.modes))
        if passport.task == 'segmentation':
            row.append(_counted(split.mask_modes))
    section.table(columns, rows, 'Samples by split')


def _counted(modes: Mapping[str, int]) -> str | None:
    return ', '.join(f'{mode} ({count})' for mode, count in sorted(modes.items(), key=lambda item: -item[1])) or None


def _class_counts(passport: Passport, split: Any) -> list[int]:
    """What tells most about a class: its pixels, its boxes, or its images."""
    by_task = {'segmentation': split.class_pixels, 'detection': split.class_objects}
    return list(by_task.get(passport.task) or split.class_images)


def _add_classes(page: HtmlPage, passport: Passport) -> None:
    counts = {name: _class_counts(passport, split) for name, split in passport.splits.items()}
    counts = {name: values for name, values in counts.items() if len(values) == len(passport.classes) and sum(values)}
    if not counts or not passport.classes:
        return
    what = {'segmentation': 'pixels', 'detection': 'objects'}.get(passport.task, 'images')
    section = page.section('Classes', count=len(passport.classes))
    light, dark = light_and_dark(lambda: plots.class_balance_figure(passport.classes, counts, what, passport.palette))
    caption = f'The {plots.MAX_ROWS} rarest classes.' if len(passport.classes) > plots.MAX_ROWS else ''
    section.figure(light, dark, f'{what} of each class', caption)
    columns, rows = [Column('class'), Column('index')], [[name, index] for index, name in enumerate(passport.classes)]
    for name, values in counts.items():
        images, total = passport.splits[name].class_images, sum(values)
        columns += [Column(f'{name}: {what}'), Column('share', '.3%', f'of all {what} of {name}')]
        with_images = what != 'images' and len(images) == len(rows)
        columns += [Column('images', hint=f'of {name} that show it')] if with_images else []
        for index, row in enumerate(rows):
            row += [values[index], values[index] / total, *([images[index]] if with_images else [])]
    section.table(columns, rows[:MAX_ROWS], f'{what.capitalize()} by class{_first_of(rows)}')


def _first_of(rows: list) -> str:
    return f', the first {MAX_ROWS} of {len(rows)}' if len(rows) > MAX_ROWS else ''


def _add_values(page: HtmlPage, passport: Passport) -> None:
    counts = passport.values.get('counts') or {}
    if not counts:
        return
    section = page.section('Mask values')
    distinct = passport.values.get('distinct', len(counts))
    expected = passport.values.get('expected')
    section.facts(
        {
            'They look like': passport.values.get('encoding') or 'nothing known',
            'The config says': expected if isinstance(expected, str) else None,
            'Distinct values': distinct,
        }
    )
    light, dark = light_and_dark(lambda: plots.value_histogram_figure(counts))
    shown = min(len(counts), plots.MAX_ROWS)
    caption = f'The {shown} most frequent of {distinct} values.' if distinct > shown else ''
    section.figure(light, dark, 'pixels of each mask value', caption)
    total = sum(counts.values())
    rows = [[int(key) if key.lstrip('-').isdigit() else key, count, count / total] for key, count in counts.items()]
    section.table(['value', 'pixels', Column('share', '.3%')], rows[:MAX_ROWS], f'Pixels by value{_first_of(rows)}')


def _add_sizes(page: HtmlPage, passport: Passport) -> None:
    sizes = {name: split.sizes_hw for name, split in passport.splits.items() if split.sizes_hw}
    if not sizes:
        return
    section = page.section('Image sizes')
    light, dark = light_and_dark(lambda: plots.image_sizes_figure(sizes))
    section.figure(light, dark, 'width and height of the images', 'Larger dots are more images of the split.')
    totals: dict[str, int] = {}
    for counts in sizes.values():
        for size, count in counts.items():
            totals[size] = totals.get(size, 0) + count
    rows = []
    for size in sorted(totals, key=totals.__getitem__, reverse=True):
        height, width = map(int, size.split('x'))
        rows.append([f'{width} × {height}', height * width / 1e6, *[counts.get(size, 0) for counts in sizes.values()]])
    columns = [Column('width × height'), Column('megapixels', '.3f'), *map(Column, sizes)]
    section.table(columns, rows[:MAX_ROWS], f'Images by size{_first_of(rows)}')


def _add_boxes(page: HtmlPage, passport: Passport) -> None:
    sides = {name: split.box_sides for name, split in passport.splits.items() if sum(split.box_sides)}
    if not sides:
        return
    section = page.section('Box sizes')
    light, dark = light_and_dark(lambda: plots.box_sides_figure(sides, BOX_SIDE_EDGES))
    section.figure(light, dark, 'share of the boxes by size')


def _add_settings(section: Section, passport: Passport, pictures: _Pictures, settings: Mapping[str, Any]) -> None:
    plain = (str, int, float, bool, type(None))
    section.facts({name: value if isinstance(value, plain) else str(value) for name, value in settings.items()})
    if pictures.left_out:
        rows = [[kind, shown, total] for kind, shown, total in pictures.left_out]
        limits = f'{THUMBNAILS_PER_FINDING} a finding, {MAX_THUMBNAILS} in all'
        section.table(
            ['finding', 'pictures shown', 'files'], rows, f'Findings with more files than pictures ({limits})'
        )
