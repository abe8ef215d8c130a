"""Lists the datasets of a config. Each is built with ``lazy_init``, so that nothing is read or checked but names.

The checks that our own datasets make when they load would stop at the first broken file: their lists of names are
taken by other ways here. Datasets that are not known by name are loaded as a training run would load them.
"""

import os
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmext.common.prediction.inputs import natural_key

from .listing import Box, Fault, Listing, Sample
from .passport import PassportError

TASK_OF_SCOPE = {'mmseg': 'segmentation', 'mmdet': 'detection', 'mmpretrain': 'classification'}
SPLITS = ('train', 'val', 'test')
# What datasets raise about their arguments and files when they are built or loaded.
DATASET_ERRORS = (OSError, ValueError, RuntimeError, AssertionError, LookupError, TypeError, AttributeError)


def list_config(cfg: Config) -> Listing:
    """All samples of a config's three data loaders.

    Raises:
        PassportError: The config belongs to no known toolbox, or has no data loader.
    """
    source = str(cfg.filename or 'config')
    scope = cfg.get('default_scope')
    if scope not in TASK_OF_SCOPE:
        raise PassportError(
            f'{source}: default_scope is {scope!r}, expected one of {", ".join(TASK_OF_SCOPE)}; give a leaf config'
        )
    listing = Listing(TASK_OF_SCOPE[scope], source)
    described = {name: datasets_of(cfg.get(f'{name}_dataloader')) for name in SPLITS}
    if not any(described.values()):
        raise PassportError(f'{source}: no train_dataloader, val_dataloader or test_dataloader; give a leaf config')
    if described['test'] == described['val']:
        described['test'] = []
    return list_datasets(listing, scope, described)


def list_datasets(listing: Listing, scope: str, described: Mapping[str, list[dict]]) -> Listing:
    """Fill a listing from the datasets of each split (dictionaries of a config, without wrappers)."""
    orphans = _Orphans()
    with DefaultScope.overwrite_default_scope(scope):
        for split, datasets in described.items():
            if datasets:
                listing.splits[split] = []
            for dataset in datasets:
                _list_into(listing, split, dataset, orphans)
    listing.spare_annotations = orphans.found()
    return listing


def datasets_of(node: Any) -> list[dict]:
    """The plain datasets below a data loader, a wrapper or a list of them, without their pipelines."""
    if isinstance(node, list | tuple):
        return [found for entry in node for found in datasets_of(entry)]
    if not isinstance(node, Mapping):
        return []
    for key in ('dataset', 'datasets'):
        if key in node:
            return datasets_of(node[key])
    return [{key: value for key, value in node.items() if key != 'pipeline'}] if 'type' in node else []


def _list_into(listing: Listing, split: str, description: dict, orphans: '_Orphans') -> None:
    extra = {'download': False} if 'CIFAR' in str(description['type']) or 'MNIST' in str(description['type']) else {}
    where = description.get('data_root') or description.get('ann_file') or str(description['type'])
    try:
        dataset = DATASETS.build({**description, **extra, 'pipeline': [], 'lazy_init': True})
        samples = list(_samples(listing, split, dataset, orphans))
        indices = getattr(dataset, '_indices', None)
        if root := getattr(dataset, 'data_root', None):
            listing.roots.append(Path(root))
    except DATASET_ERRORS as error:
        listing.faults.append(Fault('unlistable', split, [str(where)], [f'{type(error).__name__}: {error}']))
        return
    if isinstance(indices, int):
        samples = samples[:indices] if indices >= 0 else samples[indices:]
    elif indices is not None:
        samples = [samples[index] for index in indices]
    listing.splits[split] += samples


def _samples(listing: Listing, split: str, dataset: Any, orphans: '_Orphans') -> Iterator[Sample]:
    kinds = {base.__name__ for base in type(dataset).__mro__}
    if 'BaseSegDataset' in kinds:
        return _segmentation(listing, split, dataset, orphans)
    if 'VOC0712SplitDataset' in kinds:
        return _voc_split(listing, split, dataset)
    if 'XMLDataset' in kinds:
        return _xml(listing, split, dataset)
    if 'FileNameLabelDataset' in kinds:
        return _file_names(listing, split, dataset)
    if 'CIFAR10' in kinds:
        return _cifar(listing, split, dataset)
    return _loaded(listing, split, dataset)


def _take_meta(listing: Listing, split: str, metainfo: Mapping[str, Any]) -> None:
    """The first split that knows its classes names them; the others must number them alike."""
    classes = [str(name) for name in metainfo.get('classes') or ()]
    if classes and not listing.classes:
        listing.classes = classes
        palette = metainfo.get('palette')
        if isinstance(palette, list | tuple) and len(palette) == len(classes):
            listing.palette = [[int(channel) for channel in color] for color in palette]
    elif classes and classes != listing.classes:
        place, (mine, other) = next(
            (index, pair) for index, pair in enumerate(zip_longest(classes, listing.classes)) if pair[0] != pair[1]
        )
        detail = f'index {place} is {mine!r} in {split}, {other!r} in {next(iter(listing.splits))}'
        listing.faults.append(Fault('class-numbering', split, details=[detail]))


class _Orphans:
    """Masks of the folders that belong to no listed image."""

    def __init__(self) -> None:
        self.folders: dict[Path, str] = {}
        self.listed: set[Path] = set()
        # Folders of which a list picks some frames; the others are no orphans if their image is there.
        self.images: dict[Path, tuple[Path, str]] = {}

    def add(self, image_folder: str, mask_folder: str, image_suffix: str, mask_suffix: str) -> None:
        self.folders[Path(mask_folder)] = mask_suffix
        self.images[Path(mask_folder)] = (Path(image_folder), image_suffix)

    def found(self) -> list[Path]:
        spare = []
        for folder, suffix in self.folders.items():
            image_folder, image_suffix = self.images[folder]
            for parent, _, names in os.walk(folder, followlinks=True):
                for name in names:
                    mask = Path(parent) / name
                    if name.startswith('.') or not name.endswith(suffix) or mask in self.listed:
                        continue
                    inside = str(mask.relative_to(folder)).removesuffix(suffix)
                    if not (image_folder / f'{inside}{image_suffix}').exists():
                        spare.append(mask)
        return sorted(spare, key=natural_key)


def _segmentation(listing: Listing, split: str, dataset: Any, orphans: _Orphans) -> Iterator[Sample]:
    from mmseg.datasets import BaseSegDataset

    own = type(dataset).load_data_list
    # Ours check every mask after upstream's listing; what others add is not known, so they are loaded as they are.
    list_names = BaseSegDataset.load_data_list if own.__module__.startswith('mmext.') else own
    items = list_names(dataset)
    _take_meta(listing, split, dataset.metainfo)
    if listing.values is None:
        _take_values(listing, dataset)
    image_folder, mask_folder = (dataset.data_prefix.get(key) for key in ('img_path', 'seg_map_path'))
    if image_folder and mask_folder:
        orphans.add(image_folder, mask_folder, dataset.img_suffix, dataset.seg_map_suffix)
    for item in items:
        mask = item.get('seg_map_path')
        orphans.listed.update([Path(mask)] if mask else [])
        yield Sample(Path(item['img_path']), Path(mask) if mask else None)


def _take_values(listing: Listing, dataset: Any) -> None:
    """Which values the masks may hold, and the class of each."""
    listing.ignore_index = dataset.ignore_index
    if hasattr(dataset, 'label_encoding'):
        listing.encoding = dataset.label_encoding
        mapping = dataset._stored_value_to_class()
    else:
        listing.encoding, mapping = 'class_indices', dataset.label_map
    if mapping is None:
        names = type(dataset).METAINFO.get('classes') or dataset.metainfo.get('classes') or ()
        mapping = {index: index for index in range(len(names))}
    if not mapping:
        listing.encoding = ''
        return
    if dataset.reduce_zero_label:
        mapping = {0: listing.ignore_index, **{value + 1: label for value, label in mapping.items()}}
    mapping = {value: listing.ignore_index if label == 255 else label for value, label in mapping.items()}
    # Label ids know no 255: there, 255 is a value like any other that is none.
    more = {} if listing.encoding == 'label_ids' else {listing.ignore_index: listing.ignore_index}
    listing.values = {**more, **mapping}


def _voc_split(listing: Listing, split: str, dataset: Any) -> Iterator[Sample]:
    from mmext.detection.datasets.voc_devkit import list_images

    _take_meta(listing, split, dataset.metainfo)
    for image in list_images(Path(dataset.data_root or ''), dataset.sources):
        yield Sample(image.image, image.xml)


def _xml(listing: Listing, split: str, dataset: Any) -> Iterator[Sample]:
    _take_meta(listing, split, dataset.metainfo)
    root = Path(dataset.sub_data_root)
    for line in Path(dataset.ann_file).read_text(encoding='utf-8').splitlines():
        if stem := line.strip():
            yield Sample(root / dataset.img_subdir / f'{stem}.jpg', root / dataset.ann_subdir / f'{stem}.xml')


def _file_names(listing: Listing, split: str, dataset: Any) -> Iterator[Sample]:
    from mmext.classification.datasets.file_name_labels import label_of, list_pictures, take_share

    pictures, _ = list_pictures(dataset.folder)
    if dataset.ann_file:
        lines = Path(dataset.ann_file).read_text(encoding='utf-8-sig').splitlines()
        pictures = [dataset.folder / line.strip() for line in lines if line.strip()]
    if not dataset.labelled:
        yield from map(Sample, pictures)
        return
    names = [label_of(dataset.pattern, path.name) for path in pictures]
    # Without given classes, each split numbers those that occur in it.
    own = dataset.CLASSES or sorted({name for name in names if name}, key=natural_key)
    _take_meta(listing, split, {'classes': own})
    index_of = {name: index for index, name in enumerate(listing.classes)}
    if dataset.share is not None:
        taken = take_share(names, dataset.share, dataset.seed)
        pictures, names = [pictures[index] for index in taken], [names[index] for index in taken]
    nameless = [str(path) for path, name in zip(pictures, names, strict=True) if not name]
    unknown = [(str(path), f'{name!r}') for path, name in zip(pictures, names, strict=True) if name not in index_of]
    unknown = [(path, name) for path, name in unknown if path not in nameless]
    if nameless:
        details = [f'does not match {dataset.pattern.pattern!r}'] * len(nameless)
        listing.faults.append(Fault('no-label', split, nameless, details))
    if unknown:
        listing.faults.append(Fault('unknown-class', split, *map(list, zip(*unknown, strict=True))))
    for path, name in zip(pictures, names, strict=True):
        yield Sample(path, label=index_of.get(name))


def _cifar(listing: Listing, split: str, dataset: Any) -> Iterator[Sample]:
    items = dataset.load_data_list()
    _take_meta(listing, split, dataset.metainfo)
    files = dataset.train_list if dataset.split == 'train' else dataset.test_list
    folder = Path(dataset.data_prefix['root']) / dataset.base_folder
    each = len(items) // len(files)
    for index, item in enumerate(items):
        path = folder / files[index // each][0]
        yield Sample(path, label=item['gt_label'], index=index % each, pixels=item['img'])


def _loaded(listing: Listing, split: str, dataset: Any) -> Iterator[Sample]:
    """Any other dataset, by the entries that its toolbox prescribes."""
    items = dataset.load_data_list()
    _take_meta(listing, split, dataset.metainfo)
    for item in items:
        if 'img_path' not in item:
            raise ValueError(f'{type(dataset).__name__}: has pictures that are no files; they cannot be inspected')
        boxes = [_box(listing.classes, instance) for instance in item['instances']] if 'instances' in item else None
        mask = item.get('seg_map_path')
        yield Sample(
            Path(item['img_path']), Path(mask) if mask else None, item.get('gt_label'), None if mask else boxes
        )


def _box(classes: list[str], instance: Mapping[str, Any]) -> Box:
    corners = tuple(float(value) for value in instance['bbox'])
    label = instance['bbox_label']
    name = classes[label] if 0 <= label < len(classes) else f'class {label}'
    return Box(name, corners, str(list(corners)), str(instance.get('ignore_flag', '')))
