"""The KITTI semantic benchmark (Alhaija et al., IJCV 2018): 200 labelled street frames, Cityscapes classes."""

from typing import ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .label_encoding import check_masks
from .label_maps import CLASSES, LABEL_ID_TO_TRAIN_ID, MAX_LABEL_ID, PALETTE


@DATASETS.register_module()
class KITTISegDataset(BaseSegDataset):
    """KITTI-seg with the 19 evaluated Cityscapes classes and their palette.

    Reads the layout of ``tools/prepare/kitti.py`` (``img_dir/{train,val}``, ``ann_dir/{train,val}``, trainIds) and,
    with ``label_encoding='label_ids'``, KITTI's raw layout (``training/image_2``, ``training/semantic``) through a
    list of file stems as ``ann_file``. The values of the masks reach the pipeline's ``LoadAnnotations`` as a label
    map, so upstream's transforms work unchanged.

    Differs from upstream's data sets in that a mask that is missing, unreadable, of another size than its image, or
    holds values outside the encoding is an error before the first iteration; upstream notices late or never.

    Args:
        label_encoding: What the masks hold: ``'train_ids'`` (0..18, 255 ignored) or ``'label_ids'`` (0..33).
        check_masks: Read all masks once when the data set is built (about 5 ms each).
        **kwargs: As `BaseSegDataset`.

    Raises:
        ValueError: unknown ``label_encoding``.
        FileNotFoundError: no image was found.
        MaskError: a mask is not what it should be; names file, value, pixel count and remedy.
    """

    METAINFO: ClassVar[dict] = dict(classes=CLASSES, palette=[list(color) for color in PALETTE])

    def __init__(
        self,
        label_encoding: str = 'train_ids',
        check_masks: bool = True,
        img_suffix: str = '.png',
        seg_map_suffix: str = '.png',
        **kwargs,
    ) -> None:
        if label_encoding not in ('train_ids', 'label_ids'):
            raise ValueError(
                f"label_encoding={label_encoding!r}: expected 'train_ids' or 'label_ids'; "
                f'colour masks are converted by tools/prepare/kitti.py'
            )
        self.label_encoding = label_encoding
        self.check_masks = check_masks
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """As upstream, with the label map of the encoding, after the masks were checked."""
        data_list = super().load_data_list()
        if not data_list:
            where = self.data_prefix.get('img_path') or self.ann_file
            raise FileNotFoundError(
                f'{where}: no *{self.img_suffix} image found; prepare the data with tools/prepare/kitti.py '
                f'or correct data_root and data_prefix'
            )
        pairs = [(item['img_path'], item['seg_map_path']) for item in data_list if item.get('seg_map_path')]
        if self.check_masks and pairs:
            check_masks(pairs, self.label_encoding)
        label_map = self._stored_value_to_class()
        for item in data_list:
            item['label_map'] = label_map
        return data_list

    def _stored_value_to_class(self) -> dict[int, int] | None:
        # `self.label_map` is upstream's: trainId -> index in a subset of the classes, or None without a subset.
        if self.label_encoding == 'train_ids':
            return self.label_map
        subset = self.label_map or {}
        train_ids = {value: int(LABEL_ID_TO_TRAIN_ID[value]) for value in range(MAX_LABEL_ID + 1)}
        return {value: subset.get(train_id, train_id) for value, train_id in train_ids.items()}
