"""Land cover in satellite pictures: the seven classes of DeepGlobe (arXiv:1805.06561), as the dlcv report uses them."""

from pathlib import Path
from typing import ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .label_encoding import MaskError, check_all, read_pair, value_counts

# Class -> RGB. The order is that of the course's evaluation, so that class indices agree with published predictions.
COLORS = {
    'urban': (0, 255, 255),
    'agriculture': (255, 255, 0),
    'rangeland': (255, 0, 255),
    'forest': (0, 255, 0),
    'water': (0, 0, 255),
    'barren': (255, 255, 255),
    'unknown': (0, 0, 0),
}
CLASSES = tuple(COLORS)
PALETTE = tuple(COLORS.values())
IGNORE_INDEX = 255
IMG_SUFFIX, MASK_SUFFIX = '_sat.jpg', '_mask.png'


@DATASETS.register_module()
class LandCoverDataset(BaseSegDataset):
    """Satellite pictures ``<id>_sat.jpg``, masks ``<id>_mask.png`` of class indices: tools/prepare/land_cover.py.

    ``unknown`` (clouds and the like) is the seventh class and **is trained**: the models of the report have seven
    outputs. It only stays out of the mean IoU, which is over the other six; configs say so with
    ``SegmentationMetric(not_in_mean=['unknown'])``. Its pixels are evaluated, though: a pixel of unknown truth that is
    predicted as water lowers the IoU of water, as in the evaluation of the report's course.

    A mask that is missing, unreadable, of another size than its picture, still colour-coded, or holds other values
    than 0..6 and 255 (ignored) is an error before the first iteration; upstream notices late or never.

    Args:
        check_masks: Read all masks once when the data set is built (about 2 ms each at 512 x 512).
        **kwargs: As `BaseSegDataset`.

    Raises:
        FileNotFoundError: no picture was found.
        MaskError: a mask is not what it should be; names file, value, pixel count and remedy.
    """

    METAINFO: ClassVar[dict] = dict(classes=CLASSES, palette=[list(color) for color in PALETTE])

    def __init__(
        self, check_masks: bool = True, img_suffix: str = IMG_SUFFIX, seg_map_suffix: str = MASK_SUFFIX, **kwargs
    ) -> None:
        self.check_masks = check_masks
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """As upstream, after the masks were checked."""
        data_list = super().load_data_list()
        if not data_list:
            where = self.data_prefix.get('img_path') or self.ann_file
            raise FileNotFoundError(
                f'{where}: no *{self.img_suffix} picture found; prepare the data with tools/prepare/land_cover.py '
                f'or correct data_root and data_prefix'
            )
        pairs = [(item['img_path'], item['seg_map_path']) for item in data_list if item.get('seg_map_path')]
        if self.check_masks:
            check_all(pairs, check_class_indices)
        return data_list


def check_class_indices(image_path: str | Path, mask_path: str | Path) -> None:
    """Raise `MaskError` unless the mask fits the picture and holds class indices."""
    mask = read_pair(image_path, mask_path)
    if mask.ndim == 3:
        raise MaskError(
            f'{mask_path}: mask has three channels (a colour picture), class indices were expected; '
            f'tools/prepare/land_cover.py converts colours'
        )
    wrong = {value: count for value, count in value_counts(mask).items() if len(CLASSES) <= value != IGNORE_INDEX}
    if wrong:
        value, count = max(wrong.items(), key=lambda item: item[1])
        raise MaskError(
            f'{mask_path}: value {value} at {count} pixels ({len(wrong)} such values) is no class index '
            f'(0..{len(CLASSES) - 1}, {IGNORE_INDEX} ignored); correct the mask or convert it again'
        )
