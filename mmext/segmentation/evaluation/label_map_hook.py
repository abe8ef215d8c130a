"""Writes predictions as grey label images while a test runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ..datasets.label_encoding import write_mask
from ..datasets.label_maps import CLASSES, to_label_ids


@HOOKS.register_module()
class LabelMapHook(Hook):
    """One 8-bit, one-channel PNG per test image, named after the image.

    The values are trainIds (the index of the class), or with ``label_ids`` the Cityscapes ids that the KITTI and
    Cityscapes servers expect. Every pixel is predicted, so 255 never occurs.

    Args:
        out_dir: Folder of the PNGs; made if missing. Every file is complete when its name appears.
        label_ids: Write label ids; needs a data set with the 19 Cityscapes classes.

    Raises:
        ValueError: label ids of other classes, or two images of the same name.
    """

    def __init__(self, out_dir: str, label_ids: bool = False) -> None:
        self.out_dir = Path(out_dir)
        self.label_ids = label_ids
        self._sources: dict[str, str] = {}

    def before_test(self, runner) -> None:
        classes = tuple(runner.test_dataloader.dataset.metainfo['classes'])
        if self.label_ids and classes != CLASSES:
            raise ValueError(f'label ids are defined for the {len(CLASSES)} Cityscapes classes, the data has {classes}')
        self._sources.clear()
        self.out_dir.mkdir(parents=True, exist_ok=True)

    def after_test_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        for sample in outputs or ():
            train_ids = sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)
            self._write(sample.img_path, to_label_ids(train_ids) if self.label_ids else train_ids)

    def after_test(self, runner) -> None:
        kind = 'label ids' if self.label_ids else 'trainIds'
        runner.logger.info(f'{len(self._sources)} label images ({kind}) are in {self.out_dir}')

    def _write(self, image_path: str, labels: np.ndarray) -> None:
        stem = Path(image_path).stem
        if self._sources.setdefault(stem, image_path) != image_path:
            raise ValueError(f'{image_path} and {self._sources[stem]} would both be written to {stem}.png')
        write_mask(self.out_dir / f'{stem}.png', labels)
