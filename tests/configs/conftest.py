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
