"""The layouts that `mmext.inspection.folder_listing` knows: each is a function that lists a folder, or says no."""

import re
from collections.abc import Callable
from pathlib import Path

from mmext.common.prediction.inputs import natural_key

from .folder_listing import (
    IMAGE_ENDING,
    IMAGE_FOLDERS,
    MASK_ENDING,
    MASK_FOLDERS,
    NO_MASK,
    SPLIT_FOLDERS,
    FolderFiles,
    read_class_list,
    split_of,
    split_up,
)
from .listing import Fault, Listing, Sample
from .passport import PassportError

VOC_YEAR = re.compile(r'VOC\d{4}')
# All before the last number is the class; a dot or an underscore stands between them.
CLASS_IN_NAME = re.compile(r'(?P<label>.*[^\W\d_].*)[._]\d+\.[^.]+')
# Fewer samples of a class than this, on average, are no classes but names.
MIN_PER_CLASS = 2


def voc_detection(files: FolderFiles) -> Listing | None:
    """VOC's folders, with the lists of ``ImageSets/Main`` where there are any."""
    return _voc(files, 'detection', 'Main', 'Annotations', '.xml')


def voc_segmentation(files: FolderFiles) -> Listing | None:
    """VOC's folders with ``SegmentationClass``."""
    return _voc(files, 'segmentation', 'Segmentation', 'SegmentationClass', '.png')


def _voc(files: FolderFiles, task: str, lists: str, folder: str, suffix: str) -> Listing | None:
    root = files.root
    years = sorted({path.parent.parent for path in files.images if path.parent.name == 'JPEGImages'})
    years = [year for year in years if (year / folder).is_dir() and (year in (root, *root.iterdir()))]
    if not years:
        return None
    from mmext.detection.datasets.voc_annotation import CLASSES

    classes = list(CLASSES) if any(VOC_YEAR.fullmatch(year.resolve().name) for year in years) else []
    listing = Listing(task, str(root), classes=read_class_list(root) or classes)
    listing.classes_assumed = listing.classes == classes
    if task == 'segmentation' and listing.classes == classes:
        listing.classes = ['background', *classes] if classes else []
    known: dict[Path, set[str]] = {}
    for year in years:
        named = {path.stem: path for path in sorted((year / 'ImageSets' / lists).glob('*.txt'))}
        splits = {name: named.get(name) for name in ('train', 'val', 'test')}
        if splits['train'] is None:
            splits['train'] = named.get('trainval')
        pictures = {path.stem: path for path in files.images if path.parent == year / 'JPEGImages'}
        stems_of = {name: _stems(path) for name, path in splits.items() if path} or {'all': list(pictures)}
        known[year] = {stem for stems in stems_of.values() for stem in stems}
        for split, stems in stems_of.items():
            for stem in stems:
                image = pictures.get(stem, year / 'JPEGImages' / f'{stem}.jpg')
                listing.splits.setdefault(split, []).append(Sample(image, year / folder / f'{stem}{suffix}'))
        if task == 'detection':
            loose = [str(path) for stem, path in pictures.items() if stem not in known[year]]
            if loose:
                listing.faults.append(Fault('unlisted', '', loose, ['in no list of ImageSets/Main'] * len(loose)))
        annotations = (year / folder).glob(f'*{suffix}')
        listing.spare_annotations += sorted(
            path for path in annotations if path.stem not in pictures.keys() | known[year]
        )
    order = ('train', 'val', 'test', 'all')
    listing.splits = {name: listing.splits[name] for name in order if name in listing.splits}
    return listing


def _stems(path: Path) -> list[str]:
    lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def xml_detection(files: FolderFiles) -> Listing | None:
    """XML files that are called like the pictures, beside them or in other folders."""
    if not files.xmls:
        return None
    by_key: dict[tuple, Path] = {}
    for path in files.xmls:
        by_key.setdefault(_place(files, path, MASK_FOLDERS, path.stem), path)
    samples = [Sample(path, by_key.get(_place(files, path, IMAGE_FOLDERS, path.stem))) for path in files.images]
    used = {sample.annotation for sample in samples}
    if used == {None}:
        return None
    spare = [path for path in files.xmls if path not in used]
    return Listing('detection', '', split_up(files, samples), spare_annotations=spare)


def folders_of_masks(files: FolderFiles) -> Listing | None:
    """Masks in folders of their own."""
    masks, images = {}, []
    for path in files.images:
        if any(part.lower() in MASK_FOLDERS for part in files.parts(path)):
            if not NO_MASK.search(path.stem):
                masks.setdefault(_place(files, path, MASK_FOLDERS, MASK_ENDING.sub('', path.stem)), path)
        else:
            images.append(path)
    return _paired(files, images, masks, IMAGE_FOLDERS) if masks and images else None


def masks_side_by_side(files: FolderFiles) -> Listing | None:
    """Masks beside the pictures, told by the ends of their names."""
    masks, images = {}, []
    for path in files.images:
        if MASK_ENDING.search(path.stem):
            masks.setdefault(_place(files, path, (), MASK_ENDING.sub('', path.stem)), path)
        elif not NO_MASK.search(path.stem):
            images.append(path)
    stems = {_place(files, path, (), IMAGE_ENDING.sub('', path.stem)) for path in images}
    return _paired(files, images, masks, ()) if stems & masks.keys() else None


def _place(files: FolderFiles, path: Path, names: frozenset[str] | tuple, stem: str) -> tuple:
    """What a picture and its annotation share: the split and the other folders of their paths, and the stem."""
    parts = files.parts(path)
    others = [part for part in parts if part.lower() not in names and part.lower() not in SPLIT_FOLDERS]
    return split_of(parts), tuple(others), stem


def _paired(files: FolderFiles, images: list[Path], masks: dict[tuple, Path], names: frozenset[str] | tuple) -> Listing:
    spare, samples = dict(masks), []
    for path in images:
        key = _place(files, path, names, path.stem)
        if key not in masks:
            key = _place(files, path, names, IMAGE_ENDING.sub('', path.stem))
        spare.pop(key, None)
        samples.append(Sample(path, masks.get(key)))
    spare_masks = sorted(spare.values(), key=natural_key)
    return Listing('segmentation', '', split_up(files, samples), spare_annotations=spare_masks)


def folder_per_class(files: FolderFiles) -> Listing | None:
    """Each picture lies in a folder that is called like its class."""
    label_of = {}
    for path in files.images:
        parts = files.parts(path)
        if not parts or parts[-1].lower() in SPLIT_FOLDERS.keys() | IMAGE_FOLDERS | MASK_FOLDERS:
            return None
        label_of[path] = parts[-1]
    if len(set(label_of.values())) < 2:
        return None
    return _classified(files, label_of)


def class_in_file_name(files: FolderFiles) -> Listing | None:
    """The class stands in the names of most pictures."""
    found = {path: CLASS_IN_NAME.fullmatch(path.name) for path in files.images}
    label_of = {path: match['label'] if match else None for path, match in found.items()}
    labelled = [label for label in label_of.values() if label]
    classes = len(set(labelled))
    if 2 * len(labelled) <= len(label_of) or classes < 2 or len(labelled) < MIN_PER_CLASS * classes:
        return None
    return _classified(files, label_of)


def _classified(files: FolderFiles, label_of: dict[Path, str | None]) -> Listing:
    collected = sorted({label for label in label_of.values() if label}, key=natural_key)
    listing = Listing('classification', '', classes=read_class_list(files.root) or collected)
    index_of = {name: index for index, name in enumerate(listing.classes)}
    samples = [Sample(path, label=index_of.get(label)) for path, label in label_of.items()]
    listing.splits = split_up(files, samples)
    for split, found in listing.splits.items():
        labels = {sample.name: label_of[sample.image] for sample in found}
        unknown = [(name, f'{label!r}') for name, label in labels.items() if label and label not in index_of]
        if unknown:
            listing.faults.append(Fault('unknown-class', split, *map(list, zip(*unknown, strict=True))))
        # A split without any label is a test set; one picture without is a mistake.
        nameless = [name for name, label in labels.items() if not label]
        if nameless and len(nameless) < len(labels):
            listing.faults.append(Fault('no-label', split, nameless, ['no class in its name'] * len(nameless)))
    return listing


def cifar100(files: FolderFiles) -> Listing | None:
    """CIFAR-100's pickles, or the embedded sample's: only files with known sums are opened."""
    if not (files.root / 'cifar-100-python').is_dir() or files.images:
        return None
    from mmext.classification.datasets.checked_cifar100 import CheckedCIFAR100, find_problems
    from mmext.classification.datasets.sample_cifar100 import SampleCIFAR100

    from .config_listing import list_datasets

    for dataset in (CheckedCIFAR100, SampleCIFAR100):
        if not find_problems(files.root / 'cifar-100-python', dataset.sums()):
            described = {
                split: [dict(type=dataset.__name__, data_root=str(files.root), split=name)]
                for split, name in (('train', 'train'), ('val', 'test'))
            }
            return list_datasets(Listing('classification', ''), 'mmpretrain', described)
    raise PassportError(
        f'{files.root / "cifar-100-python"}: the files have other MD5 sums than those of CIFAR-100, and pickles that '
        f'are not known may run code; fetch them again, or give a config whose dataset names the sums'
    )


# The first that lists a folder wins; (task, layout).
LAYOUTS: tuple[tuple[str, Callable[[FolderFiles], Listing | None]], ...] = (
    ('detection', voc_detection),
    ('segmentation', voc_segmentation),
    ('detection', xml_detection),
    ('segmentation', folders_of_masks),
    ('segmentation', masks_side_by_side),
    ('classification', cifar100),
    ('classification', folder_per_class),
    ('classification', class_in_file_name),
)
