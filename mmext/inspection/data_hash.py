"""A hash of the data that a run trains on: the same wherever the data lie, another when a file changes."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from .listing import Box, Listing, Sample, read_listing
from .passport import PassportError
from .quick_files import WHOLE_SET_BYTES, FileFacts, look_at_files, total_bytes


def hash_split(cfg: Config, split: str) -> str:
    """Hash of one split as `QuickReport.split_hashes` has it; '' where it cannot be listed. Nothing is written."""
    try:
        listing = read_listing(only_splits(cfg, [split]))
    except PassportError:
        return ''
    return look_at_listing(listing)[1].get(split, '')


def look_at_listing(listing: Listing) -> tuple[dict[Path, FileFacts], dict[str, str]]:
    """Look at all files; what was seen, and the hash of each split.

    The size of a split alone decides how it is hashed: with or without other splits, its hash is the same.
    """
    facts: dict[Path, FileFacts] = {}
    hashes = {}
    for split, samples in listing.splits.items():
        pictures = {sample.image for sample in samples if sample.pixels is None}
        others = {sample.image for sample in samples if sample.pixels is not None}
        annotations = {sample.annotation for sample in samples if sample.annotation}
        (pictures if listing.task == 'segmentation' else others).update(annotations)
        whole = total_bytes(pictures | others) <= WHOLE_SET_BYTES
        seen = look_at_files(pictures, others, whole)
        facts.update(seen)
        if samples:
            digests = {path: found.digest for path, found in seen.items()}
            hashes[split] = f'{"full" if whole else "edges"}:{hash_samples(samples, listing.classes, digests)}'
    return facts, hashes


def hash_samples(samples: Iterable[Sample], classes: Sequence[str], digests: Mapping[Path, str]) -> str:
    """SHA-256 of a split: names below the folder that all images (annotations) share, contents, labels and boxes.

    Args:
        samples: In any order.
        classes: Names by index, for labels.
        digests: Digest of each file.
    """
    samples = list(samples)
    image_root = _common_folder(sample.image for sample in samples)
    annotation_root = _common_folder(sample.annotation for sample in samples if sample.annotation)
    lines = set()
    for sample in samples:
        parts = [os.path.relpath(sample.image, image_root), digests.get(sample.image, '')]
        if sample.annotation:
            parts += [os.path.relpath(sample.annotation, annotation_root), digests.get(sample.annotation, '')]
        if sample.index is not None:
            parts.append(str(sample.index))
        if sample.label is not None:
            parts.append(classes[sample.label] if sample.label < len(classes) else str(sample.label))
        parts += sorted(map(_box_text, sample.boxes or ()))
        # A picture may be in a split twice, of which the number counts as little as the order.
        lines.add('\0'.join(part.replace(os.sep, '/') for part in parts))
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode('utf-8', 'surrogateescape') + b'\n')
    return digest.hexdigest()


def joint_hash(hashes: Mapping[str, str]) -> str:
    """One hash of all splits; '' of none."""
    if not hashes:
        return ''
    scheme = 'full' if all(value.startswith('full:') for value in hashes.values()) else 'edges'
    lines = '\n'.join(f'{split} {value}' for split, value in sorted(hashes.items()))
    return f'{scheme}:{hashlib.sha256(lines.encode()).hexdigest()}'


def files_of(listing: Listing) -> list[Path]:
    """Every file, once."""
    samples = [sample for samples in listing.splits.values() for sample in samples]
    images = dict.fromkeys(sample.image for sample in samples)
    return [*images, *dict.fromkeys(sample.annotation for sample in samples if sample.annotation)]


def only_splits(cfg: Config, splits: Sequence[str]) -> Config:
    """The part of a config that names the data of some splits."""
    names = ('default_scope', *(f'{split}_dataloader' for split in splits))
    return Config({name: cfg[name] for name in names if cfg.get(name) is not None})


def _common_folder(paths: Iterable[Path]) -> str:
    folders = {path.parent.absolute() for path in paths}
    return os.path.commonpath(folders) if folders else ''


def _box_text(box: Box) -> str:
    return f'{box.name} {box.corners} {box.difficult}'
