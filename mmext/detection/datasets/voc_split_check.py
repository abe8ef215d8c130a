"""Checks that the parts of a split are whole and share no picture, and counts what is in them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from mmext.common.digests import file_digest

from .voc_annotation import VOCAnnotation, read_annotation
from .voc_devkit import PARTS, Source, VOCImage, list_images, list_path, read_list
from .voc_problems import ProblemList, VOCError
from .voc_split_report import PartReport, SplitReport

# Images in the official lists of the main task.
OFFICIAL_IMAGES = {('VOC2007', 'trainval'): 5011, ('VOC2007', 'test'): 4952, ('VOC2012', 'val'): 5823}
SHOWN = 3


def check_split(
    root: Path,
    rules: Mapping[str, str] | None = None,
    parts: Mapping[str, Sequence[Source]] = PARTS,
    workers: int = 4,
) -> SplitReport:
    """Reads every image and annotation of all parts; raises nothing about them, but collects what it finds.

    Two pictures are the same if they have the same year and number, or files with the same bytes. A picture that was
    saved anew has other bytes and would not be noticed.

    Args:
        root: The VOCdevkit folder.
        rules: Kind of problem -> rule, where it differs from the default.
        parts: Part -> pairs (year's folder, list).
        workers: Threads that read files.

    Raises:
        ValueError: Unknown rules.
    """
    report = SplitReport(problems=ProblemList(rules))
    images: dict[str, list[VOCImage]] = {}
    for name, sources in parts.items():
        try:
            images[name] = list_images(root, sources)
            report.parts[name] = PartReport(tuple(tuple(source) for source in sources), images=len(images[name]))
        except VOCError as error:
            report.errors.append(str(error))
    jobs = [(name, image) for name, found in images.items() for image in found]

    def read(job: tuple[str, VOCImage]) -> tuple[VOCAnnotation | None, ProblemList, str]:
        problems = ProblemList(rules)
        annotation = read_annotation(job[1].xml, job[1].image, problems, decode=True)
        return annotation, problems, file_digest(job[1].image) if annotation else ''

    with ThreadPoolExecutor(workers) as pool:
        results = track(pool.map(read, jobs), description='Checking', total=len(jobs))
        for (name, image), (annotation, problems, digest) in zip(jobs, results, strict=True):
            report.problems.extend(problems)
            if annotation:
                report.parts[name].add(annotation)
                report.parts[name].sha256[image.img_id] = digest
    report.errors.extend(_shared_pictures(images))
    _compare_contents(report)
    for year in sorted({source for sources in parts.values() for source, _ in sources}):
        _check_year(root / year, report)
    report.notes.extend(_unofficial_sizes(report.parts))
    return report


def _shared_pictures(images: Mapping[str, Sequence[VOCImage]]) -> Iterator[str]:
    """Messages about pictures that two parts name, by year and number."""
    places: dict[str, dict[str, VOCImage]] = defaultdict(dict)
    for name, found in images.items():
        for image in found:
            places[image.picture_id].setdefault(name, image)
    shared = [
        ' and '.join(f'{name} ({image.img_id})' for name, image in by_part.items())
        for by_part in places.values()
        if len(by_part) > 1
    ]
    if shared:
        yield f'{len(shared)} pictures are in two parts: {_first(shared)}; take them out of one of the lists'


def _compare_contents(report: SplitReport) -> None:
    """Files with the same bytes: an error between two parts, a note within one."""
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, part in report.parts.items():
        for img_id, digest in part.sha256.items():
            places[digest].append((name, img_id))
    across, within = [], []
    for group in places.values():
        if len(group) > 1:
            same_part = len({name for name, _ in group}) == 1
            (within if same_part else across).append(' and '.join(f'{name} ({img_id})' for name, img_id in group))
    if across:
        report.errors.append(
            f'{len(across)} image files have the same bytes in two parts: {_first(across)}; '
            f'take them out of one of the lists'
        )
    if within:
        report.notes.append(f'{len(within)} image files are in a part twice, with the same bytes: {_first(within)}')


def _check_year(folder: Path, report: SplitReport) -> None:
    """train, val and trainval against each other; and files that no list names."""
    lists: dict[str, set[str]] = {}
    for name in ('train', 'val', 'trainval', 'test'):
        path = list_path(folder.parent, folder.name, name)
        if path.is_file():
            try:
                lists[name] = set(read_list(path))
            except VOCError as error:
                if str(error) not in report.errors:
                    report.errors.append(str(error))
    if {'train', 'val', 'trainval'} <= lists.keys():
        if both := lists['train'] & lists['val']:
            report.errors.append(f'{folder}: train and val both list {_first(sorted(both))}; unpack the archive again')
        if odd := (lists['train'] | lists['val']) ^ lists['trainval']:
            report.errors.append(
                f'{folder}: trainval is not train and val together, {len(odd)} ids differ: {_first(sorted(odd))}; '
                f'unpack the archive again'
            )
    listed = set().union(*lists.values())
    for kind, suffix in (('JPEGImages', '.jpg'), ('Annotations', '.xml')):
        if loose := sorted({path.stem for path in (folder / kind).glob(f'*{suffix}')} - listed):
            report.notes.append(f'{folder / kind}: {len(loose)} files are in no list of the main task: {_first(loose)}')


def _unofficial_sizes(parts: Mapping[str, PartReport]) -> Iterator[str]:
    for name, part in parts.items():
        official = sum(OFFICIAL_IMAGES.get(source, 0) for source in part.sources)
        if official and official != part.images:
            yield f'{name}: {part.images} images, the official lists have {official}: not the whole part'


def _first(items: Sequence[str]) -> str:
    return ', '.join(items[:SHOWN]) + (', ...' if len(items) > SHOWN else '')
