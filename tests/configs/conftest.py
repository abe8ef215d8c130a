import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CROP = (slice(140, 300), slice(400, 640))


@pytest.fixture(scope='session')
def small_kitti(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """Two training frames and one validation frame of 160 x 240, prepared, cut from the embedded sample."""
    from mmext.segmentation.datasets.kitti_preparation import prepare_kitti

    raw = tmp_path_factory.mktemp('raw')
    for folder in ('image_2', 'semantic'):
        target = raw / 'training' / folder
        target.mkdir(parents=True)
        for source in sorted((sample / 'training' / folder).glob('*.png'))[:3]:
            with Image.open(source) as image:
                values = np.asarray(image.convert('RGB') if folder == 'image_2' else image)[CROP]
            Image.fromarray(values).save(target / source.name)
    out = tmp_path_factory.mktemp('data') / 'kitti_seg'
    prepare_kitti(raw, out, val_count=1)
    return out


@pytest.fixture(scope='session')
def small_cityscapes(tmp_path_factory: pytest.TempPathFactory, small_kitti: Path) -> Path:
    """The frames of `small_kitti` in the layout of Cityscapes, all of one city."""
    root = tmp_path_factory.mktemp('data') / 'cityscapes'
    for part in ('train', 'val'):
        for folder, source, suffix in (
            ('leftImg8bit', 'img_dir', 'leftImg8bit'),
            ('gtFine', 'ann_dir', 'gtFine_labelTrainIds'),
        ):
            target = root / folder / part / 'town'
            target.mkdir(parents=True)
            for file in (small_kitti / source / part).glob('*.png'):
                shutil.copy(file, target / f'{file.stem}_{suffix}.png')
    return root


@pytest.fixture(scope='session')
def small_data(small_kitti: Path, small_cityscapes: Path) -> Callable[[str, str], dict]:
    """From the type of a data set and a part of it to the settings that make it read two small frames."""

    def settings(kind: str, part: str) -> dict:
        if kind == 'KITTISegDataset':
            folders = dict(img_path=f'img_dir/{part}', seg_map_path=f'ann_dir/{part}')
            return dict(data_root=str(small_kitti), ann_file='', label_encoding='train_ids', data_prefix=folders)
        if kind == 'CityscapesDataset':
            folders = dict(img_path=f'leftImg8bit/{part}', seg_map_path=f'gtFine/{part}')
            return dict(data_root=str(small_cityscapes), ann_file='', data_prefix=folders)
        raise KeyError(f'{kind}: no small data set of this type; add one here')

    return settings
