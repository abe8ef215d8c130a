"""PASCAL VOC, split into VOC2007 trainval, VOC2007 test and VOC2012 val (Everingham et al., IJCV 2010 and 2015)."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import BaseDetDataset, VOCDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from .voc_annotation import CLASSES, VOCAnnotation, VOCObject, read_annotation
from .voc_devkit import PARTS, Source, VOCImage, list_images
from .voc_problems import ProblemList, VOCError, count_kinds

CHECK = 'list them all with `python tools/prepare/voc.py --check-only --out {}`'
SHOWN = 3


def make_instance(found: VOCObject, label: int, min_size: float | None = None) -> dict[str, Any]:
    """One entry of mmdet's ``instances``.

    Args:
        found: The object.
        label: Index of its class.
        min_size: Boxes narrower or lower than this many pixels are ignored; None ignores no box for its size.

    Returns:
        ``bbox`` [x1, y1, x2, y2], 0-based pixels; ``bbox_label``; ``ignore_flag``, 1 for difficult and too small ones;
        ``truncated``.
    """
    x1, y1, x2, y2 = found.box
    small = min_size is not None and min(x2 - x1, y2 - y1) < min_size
    return dict(
        bbox=list(found.box),
        bbox_label=label,
        ignore_flag=int(found.difficult or small),
        truncated=int(found.truncated),
    )


@DATASETS.register_module()
class VOC0712SplitDataset(BaseDetDataset):
    """The VOC07+12 split: ``train`` is VOC2007 trainval, ``val`` is VOC2007 test, ``test`` is VOC2012 val.

    Reads one ``VOCdevkit`` folder as ``tools/prepare/voc.py`` makes it, from local disk. Differs from upstream's
    `VOCDataset`: objects of unknown classes, boxes outside the image and all other problems of `voc_problems` follow
    their rule and are logged, where upstream skips or takes them silently; fractions of coordinates are kept; images
    have ids that are unique over the years, and a ``source`` (``'VOC2007'``, ``'VOC2012'``) that `PackDetInputs` hands
    on if its ``meta_keys`` name it; no box is ignored for its size unless ``min_size`` says so.

    Args:
        part: ``'train'``, ``'val'`` or ``'test'``.
        sources: Pairs (year's folder, list of its ``ImageSets/Main``) that replace the part's own, such as
            ``(('VOC2007', 'train'), ('VOC2012', 'train'))``.
        rules: Kind of problem -> ``'error'``, ``'warn'`` or ``'drop'``, where it differs from the default.
        min_size: Training only: boxes narrower or lower than this many pixels get ``ignore_flag`` 1, as difficult
            ones do. (``filter_cfg.min_size``, as upstream, leaves out small images.)
        check_images: Compare the header of every image with ``<size>``, read with Pillow (about 0.1 ms per image for
            both). Otherwise ``<size>`` is believed and only the existence of the image checked.
        **kwargs: As `BaseDetDataset`: ``data_root`` (the VOCdevkit folder), ``pipeline``, ``filter_cfg`` with
            ``filter_empty_gt`` and ``min_size``, ``test_mode``, ...

    Attributes:
        problems: All that was found, also what the log shortens.

    Raises:
        ValueError: An unknown part, rule or kind; an argument of upstream's that would have no effect.
        VOCError: A missing list or file, an annotation that cannot be used, or no image left by ``filter_cfg``.
    """

    METAINFO: ClassVar[dict] = VOCDataset.METAINFO

    def __init__(
        self,
        part: str = 'train',
        sources: Sequence[Source] | None = None,
        rules: Mapping[str, str] | None = None,
        min_size: float | None = None,
        check_images: bool = True,
        **kwargs,
    ) -> None:
        if part not in PARTS:
            raise ValueError(f'part={part!r}: must be one of {", ".join(PARTS)}; sources=... names other lists')
        for name in ('ann_file', 'data_prefix'):
            if kwargs.get(name):
                raise ValueError(
                    f'{name}={kwargs[name]!r} has no effect here; data_root is the VOCdevkit folder, '
                    f'part or sources name the lists'
                )
        if 'bbox_min_size' in (kwargs.get('filter_cfg') or {}):
            raise ValueError('filter_cfg.bbox_min_size has no effect here; name the bound on boxes with min_size')
        if min_size is not None and kwargs.get('test_mode'):
            raise ValueError(f'min_size={min_size}: would ignore objects in the evaluation; use it for training only')
        self.part = part
        self.sources = tuple((source, name) for source, name in sources or PARTS[part])
        self.min_size = min_size
        self.check_images = check_images
        self.problems = ProblemList(rules)
        super().__init__(**kwargs)
        years = {source for source, _ in self.sources}
        # Upstream's VOCMetric asks for it.
        self._metainfo['dataset_type'] = years.pop() if len(years) == 1 else None

    @property
    def title(self) -> str:
        """For messages: the lists, such as ``VOC2007 trainval``."""
        return ' + '.join(f'{source} {name}' for source, name in self.sources)

    def load_data_list(self) -> list[dict]:
        """One entry per image of the lists; problems are logged, and errors among them raised together."""
        root = Path(self.data_root or '')
        labels = {name: label for label, name in enumerate(self.metainfo['classes'])}
        known = dict.fromkeys((*labels, *CLASSES))
        self.problems.clear()
        data_list, left_out = [], 0
        for image in list_images(root, self.sources):
            annotation = read_annotation(image.xml, image.image, self.problems, known, self.check_images)
            if annotation:
                data_list.append(self._data_info(image, annotation, labels))
                left_out += len(annotation.objects) - len(data_list[-1]['instances'])
        self.problems.raise_errors(CHECK.format(root))
        self._log(data_list, left_out)
        return data_list

    def _data_info(self, image: VOCImage, annotation: VOCAnnotation, labels: Mapping[str, int]) -> dict:
        height, width = annotation.size_hw
        objects = [found for found in annotation.objects if found.name in labels]
        return dict(
            img_id=image.img_id,
            img_path=str(image.image),
            xml_path=str(image.xml),
            source=image.source,
            height=height,
            width=width,
            instances=[make_instance(found, labels[found.name], self.min_size) for found in objects],
        )

    def _log(self, data_list: list[dict], left_out: int) -> None:
        instances = [instance for item in data_list for instance in item['instances']]
        ignored = sum(instance['ignore_flag'] for instance in instances)
        why = 'difficult' if self.min_size is None else f'difficult or under {self.min_size} pixels'
        text = f'{self.title}: {len(data_list)} images, {len(instances)} objects, {ignored} of them ignored as {why}'
        if left_out:
            text += f'; {left_out} objects of classes that metainfo does not name are left out'
        print_log(text, 'current')
        if self.problems:
            kinds = ', '.join(f'{count} x {kind}' for kind, count in count_kinds(self.problems).items())
            first = '\n'.join(f'  {problem}' for problem in self.problems[:SHOWN])
            print_log(f'{self.title}: {kinds}; the first:\n{first}', 'current', logging.WARNING)

    def filter_data(self) -> list[dict]:
        """As upstream's XML data set, with a line in the log: in training, images without objects and small ones go."""
        config = self.filter_cfg or {}
        if self.test_mode or not config:
            return self.data_list
        kept = [
            item
            for item in self.data_list
            if (item['instances'] or not config.get('filter_empty_gt', False))
            and min(item['width'], item['height']) >= config.get('min_size', 0)
        ]
        if len(kept) < len(self.data_list):
            left_out = len(self.data_list) - len(kept)
            if not kept:
                raise VOCError(f'{self.title}: filter_cfg={config} leaves out all {left_out} images; relax it')
            print_log(f'{self.title}: filter_cfg={config} leaves out {left_out} images', 'current', logging.WARNING)
        return kept
