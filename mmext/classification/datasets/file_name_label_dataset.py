"""Pictures whose class stands in their file name: ``pickup_truck_12.png``, ``cat_123.jpg``, ``dog.123.jpg``."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmext.common.prediction.inputs import natural_key

from .file_name_labels import (
    PATTERN,
    FileNameLabelError,
    class_problems,
    compile_pattern,
    files_of_classes,
    label_of,
    list_pictures,
    read_list,
    shorten,
    take_share,
    unreadable_pictures,
)


@DATASETS.register_module()
class FileNameLabelDataset(BaseDataset):
    """Pictures in one folder, with or without subfolders, whose class is a part of their file name.

    A data item has ``img_path`` and, with ``labelled``, ``gt_label``, the index of its class. Without ``classes`` these
    are collected from the names and sorted naturally (``c2`` before ``c10``): then give ``compare_with`` too, or the
    splits may number them differently. Whatever cannot be used is reported by name, all in one error.

    Args:
        data_root: Folder that the other paths are relative to.
        data_prefix: Folder of the pictures, searched with its subfolders.
        pattern: Regular expression that matches the whole file name and has a group ``(?P<label>...)``. By default all
            before the last number and the dot or underscore in front of it.
        classes: Names by index, or a file with one a line.
        compare_with: Folder of another split: the same classes must occur in both.
        ann_file: Text file that names the pictures of this split, one a line, relative to the folder. All by default.
        share: Part of each class's pictures that this split gets, such as (0, 0.8) and, in the other, (0.8, 1).
        seed: Of the shuffling before ``share``; the same in all splits.
        labelled: False for folders of unnamed test pictures: ``pattern`` is not used and there is no ``gt_label``.
        strict: False leaves out files that do not match or cannot be read, with a warning, in place of an error.
        check_images: Read the header of every file (see `unreadable_pictures`).
        **kwargs: As mmpretrain's `BaseDataset`: ``pipeline``, ``metainfo``, ``indices``, ``test_mode``, ...

    Raises:
        FileNameLabelError: An unusable pattern, list or share; files or classes that cannot be used.
        FileNotFoundError: No such folder, or no picture in it.
    """

    def __init__(
        self,
        data_root: str = '',
        data_prefix: str | dict = '',
        pattern: str = PATTERN,
        classes: str | Sequence[str] | None = None,
        compare_with: str | None = None,
        ann_file: str = '',
        share: tuple[float, float] | None = None,
        seed: int = 0,
        labelled: bool = True,
        strict: bool = True,
        check_images: bool = True,
        **kwargs,
    ) -> None:
        self.pattern = compile_pattern(pattern)
        self.compare_with = compare_with and str(Path(data_root) / compare_with)
        self.share, self.seed = share, seed
        self.labelled, self.strict, self.check_images = labelled, strict, check_images
        super().__init__(ann_file, data_root=data_root, data_prefix=data_prefix, classes=classes, **kwargs)

    @property
    def folder(self) -> Path:
        """Folder of the pictures."""
        return Path(self.img_prefix)

    def load_data_list(self) -> list[dict]:
        """One entry per picture, in natural order of the names or in the order of the list."""
        pictures = self._pictures()
        labels = [label_of(self.pattern, path.name) if self.labelled else None for path in pictures]
        bad = self._unusable(pictures, labels)
        used = [(path, label) for path, label in zip(pictures, labels, strict=True) if path not in bad]
        if not used:
            raise FileNameLabelError(f'{self.folder}: none of its {len(pictures)} pictures can be used')
        if self.labelled:
            self._settle_classes(files_of_classes(used))
        if self.share is not None:
            used = [used[index] for index in take_share([label for _, label in used], self.share, self.seed)]
        self._log([label for _, label in used])
        if not self.labelled:
            return [dict(img_path=str(path)) for path, _ in used]
        index_of = self.class_to_idx
        return [dict(img_path=str(path), gt_label=index_of[label]) for path, label in used]

    def _pictures(self) -> list[Path]:
        pictures, others = list_pictures(self.folder)
        if others:
            self._warn(f'{len(others)} files are no pictures by their suffix: {shorten(others)}')
        return read_list(self.ann_file, self.folder) if self.ann_file else pictures

    def _unusable(self, pictures: Sequence[Path], labels: Sequence[str | None]) -> set[Path]:
        """Files to leave out; with ``strict`` an error when there are any."""
        nameless = [path for path, label in zip(pictures, labels, strict=True) if self.labelled and not label]
        unreadable = unreadable_pictures(pictures) if self.check_images else {}
        problems = []
        if nameless:
            problems.append(f'{len(nameless)} names do not match pattern={self.pattern.pattern!r}: {shorten(nameless)}')
        if unreadable:
            reasons = (f'{path} ({reason})' for path, reason in unreadable.items())
            problems.append(f'{len(unreadable)} pictures cannot be read: {shorten(reasons)}')
        if problems and self.strict:
            fix = 'Fix: rename, remove or replace them, change the pattern, or leave them out with strict=False'
            raise FileNameLabelError(f'{self.folder}: {"; ".join(problems)}. {fix}')
        for problem in problems:
            self._warn(f'left out: {problem}')
        return {*nameless, *unreadable}

    def _settle_classes(self, files: dict[str, list[Path]]) -> None:
        """Collect the classes where none are given, and compare them."""
        given, others = self.CLASSES, None
        if self.compare_with:
            paths, _ = list_pictures(self.compare_with)
            named = ((path, label_of(self.pattern, path.name)) for path in paths)
            others = files_of_classes((path, label) for path, label in named if label)
        if problems := class_problems(files, given, others):
            against = f' (compared with {self.compare_with})' if self.compare_with else ''
            raise FileNameLabelError(f'{self.folder}{against}: {"; ".join(problems)}')
        if given is None:
            self._metainfo['classes'] = tuple(sorted(files, key=natural_key))

    def _log(self, labels: Sequence[str | None]) -> None:
        if not self.labelled:
            print_log(f'{self.folder}: {len(labels)} pictures without labels', 'current')
            return
        counts = Counter(labels)
        table = shorten((f'{name} {counts[name]}' for name in self.CLASSES if counts[name]), 10)
        print_log(f'{self.folder}: {len(labels)} pictures, {len(counts)} classes: {table}', 'current')
        if absent := [name for name in self.CLASSES if not counts[name]]:
            self._warn(f'{len(absent)} of {len(self.CLASSES)} classes have no picture in this split: {shorten(absent)}')

    def _warn(self, text: str) -> None:
        print_log(f'{self.folder}: {text}', 'current', logging.WARNING)
