"""Writes a corrected copy of a dataset to a new folder; the originals are only read.

The whole folder of the dataset is copied, but for what can be corrected without guessing:

- pictures that EXIF turns are stored upright; a mask or boxes that fit the pixels as stored are turned with them;
- masks of colours, with alpha, or deeper than 8 bits get the encoding of the other masks;
- boxes are clipped to the picture; those without area or numbers are dropped;
- pictures and annotations that cannot be read are left out, each with its partner and its line in the lists.

What was done to which file is in ``fixes.json`` of the copy.
"""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmext.common.files import write_json

from .cache import absolute
from .file_fixes import FixError, fix_mask, fix_xml, mask_table, turn_mask, turn_picture
from .image_checks import upright_hw
from .judgement import judge
from .listing import Listing, Sample
from .mask_encodings import look_at
from .passport import PassportError
from .scan import Scan

REPORT = 'fixes.json'
REMOVED_WITH = ('unreadable', 'truncated')
BOX_KINDS = frozenset(('box-outside', 'box-empty', 'box-coordinates'))


@dataclass
class Fix:
    """What became of one file: its name in the copy, ``'turned'``, ``'converted'``, ``'boxes'``, ``'left out'`` or
    ``'not corrected'``, and details."""

    file: str
    action: str
    detail: str = ''


@dataclass
class _Plan:
    """Decisions about files, by absolute path."""

    left_out: dict[str, str] = field(default_factory=dict)
    turned: dict[str, int] = field(default_factory=dict)
    masks: dict[str, int] = field(default_factory=dict)
    xmls: dict[str, int] = field(default_factory=dict)


def fix_data(scan: Scan, folder: str | Path) -> list[Fix]:
    """Write a corrected copy of the scanned dataset.

    Args:
        scan: The dataset.
        folder: The copy; must not exist, or be empty, and neither hold the dataset nor lie in it.

    Returns:
        What was done, sorted by name.

    Raises:
        PassportError: The folder cannot be used, or the dataset has no folder of its own to copy.
    """
    root, folder = check_target(scan.listing, folder)
    plan = _plan(scan)
    unfinished = folder.with_name(f'.{folder.name}.{os.getpid()}.part')
    try:
        fixes = sorted(_write(scan, root, unfinished, plan), key=lambda fix: (fix.action, fix.file))
        write_json(unfinished / REPORT, [asdict(fix) for fix in fixes])
        if folder.is_dir():
            folder.rmdir()
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return fixes


def check_target(listing: Listing, folder: str | Path) -> tuple[Path, Path]:
    """The folder of the data and that of the copy, both absolute.

    Raises:
        PassportError: As `fix_data`.
    """
    root, folder = data_root(listing), Path(absolute(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PassportError(f'{folder}: exists and is not empty; --fix needs a new folder, and never writes over files')
    if folder.is_relative_to(root) or root.is_relative_to(folder):
        raise PassportError(f'{folder}: overlaps with the data in {root}; --fix needs a folder elsewhere')
    return root, folder


def count_fixes(fixes: Sequence[Fix]) -> str:
    """How many files each action met, such as ``'2 turned, 1 left out'``."""
    counts = Counter(fix.action for fix in fixes)
    return ', '.join(f'{count} {action}' for action, count in sorted(counts.items())) or 'a plain copy'


def data_root(listing: Listing) -> Path:
    """The folder that holds the dataset and its lists.

    Raises:
        PassportError: Only a folder as general as the file system's root holds all of it.
    """
    samples = [sample for found in listing.splits.values() for sample in found]
    files = {path.parent for sample in samples for path in (sample.image, sample.annotation) if path}
    roots = {absolute(path) for path in {*listing.roots, *files}}
    root = Path(os.path.commonpath(roots)) if roots else Path('/')
    if root in (Path(root.anchor), Path.home()):
        raise PassportError(f'{listing.source}: the data have no folder of their own ({root}); bring them together')
    return root


def _plan(scan: Scan) -> _Plan:
    if scan.faults is None:
        judge(scan)
    plan, kinds = _Plan(), scan.faults
    for _, sample in scan.samples():
        image, annotation = scan.image(sample), scan.annotation(sample)
        paths = [str(path) for path in (sample.image, sample.annotation) if path]
        broken = [path for path in paths if kinds.get(path, set()) & set(REMOVED_WITH)]
        if broken:
            reason = (image if broken[0] == paths[0] else annotation)['reason']
            plan.left_out.update({absolute(path): f'{Path(broken[0]).name}: {reason}' for path in paths})
            continue
        turn = image.get('orientation', 1)
        if turn != 1:
            plan.turned[absolute(sample.image)] = turn
        if annotation is None or annotation['status'] != 'ok':
            continue
        name = absolute(sample.annotation)
        turn = turn if turn != 1 and _fits_stored(image, annotation) else 1
        if 'boxes' in annotation and (turn != 1 or kinds.get(str(sample.annotation), set()) & BOX_KINDS):
            plan.xmls[name] = turn
        elif 'boxes' not in annotation and (turn != 1 or 'mask-mode' in kinds.get(str(sample.annotation), set())):
            plan.masks[name] = turn
    return plan


def _fits_stored(image: dict, annotation: dict) -> bool:
    """Whether an annotation belongs to the pixels as they are stored; where both would do, it does."""
    size = annotation['size_hw']
    return size is None or size == image['size_hw'] or size != upright_hw(image)


def _write(scan: Scan, root: Path, out: Path, plan: _Plan) -> list[Fix]:
    fixes = [Fix(os.path.relpath(path, root), 'left out', reason) for path, reason in plan.left_out.items()]
    masks = [scan.annotation(sample) for _, sample in scan.samples()] if scan.listing.task == 'segmentation' else []
    readable = [record for record in masks if record and record['status'] == 'ok']
    table = mask_table(scan.listing, look_at(readable)) if plan.masks else {}
    sizes = {
        absolute(sample.annotation): scan.image(sample).get('size_hw')
        for _, sample in scan.samples()
        if sample.annotation
    }
    stems = _stems(scan)
    for source in _files_below(root):
        name, target = str(source), out / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in plan.left_out:
            continue
        relative = target.relative_to(out).as_posix()
        try:
            if name in plan.turned:
                fixes.append(Fix(relative, 'turned', turn_picture(source, target)))
            elif name in plan.masks:
                fixes.append(Fix(relative, 'converted', _fix_one_mask(source, target, table, plan.masks[name])))
            elif name in plan.xmls:
                fixes.append(Fix(relative, 'boxes', fix_xml(source, target, sizes[name], plan.xmls[name])))
            elif not _shorten_list(source, target, plan, stems, fixes, relative):
                shutil.copy2(source, target)
        except FixError as error:
            fixes.append(Fix(relative, 'not corrected', str(error)))
            shutil.copy2(source, target)
    return fixes


def _fix_one_mask(source: Path, target: Path, table: dict[int, int], turn: int) -> str:
    details = [fix_mask(source, target, table)] if turn == 1 else [turn_mask(source, target, turn, table)]
    return ', '.join(filter(None, details))


def _files_below(root: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        found += [Path(parent) / name for name in names if not name.startswith('.')]
    return sorted(found)


def _stems(scan: Scan) -> Counter[str]:
    """How many samples have a stem; lists of files may name the file or its stem."""
    return Counter(name for _, sample in scan.samples() for name in _names(sample))


def _names(sample: Sample) -> set[str]:
    return {sample.image.stem, sample.image.name}


def _shorten_list(
    source: Path, target: Path, plan: _Plan, stems: Counter[str], fixes: list[Fix], relative: str
) -> bool:
    """Copy a list of the dataset without the lines of files that are left out; False if it is no such list."""
    if source.suffix != '.txt' or not plan.left_out:
        return False
    lines = source.read_text(encoding='utf-8', errors='replace').splitlines()
    named = [Path(line.split()[0]).name for line in lines if line.strip()]
    if not named or not all(name in stems for name in named):
        return False
    gone = {form for path in plan.left_out for form in (Path(path).stem, Path(path).name)}
    kept = [line for line in lines if line.strip() and Path(line.split()[0]).name not in gone]
    target.write_text('\n'.join(kept) + '\n' if kept else '', encoding='utf-8')
    if len(kept) < len(named):
        fixes.append(Fix(relative, 'lines left out', str(len(named) - len(kept))))
    return True
