import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmext.common.running import drop_pretrained

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
def small_land_cover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training tiles and one validation tile of 160 x 240, prepared."""
    from mmext.common.samples.land_cover import write_tiles
    from mmext.segmentation.datasets.land_cover_preparation import prepare_land_cover

    raw = tmp_path_factory.mktemp('raw')
    write_tiles(raw, range(3), (160, 240))
    out = tmp_path_factory.mktemp('data') / 'land_cover'
    prepare_land_cover(raw, out, val_count=1)
    return out


@pytest.fixture(scope='session')
def small_data(small_kitti: Path, small_cityscapes: Path, small_land_cover: Path) -> Callable[[str, str], dict]:
    """From the type of a data set and a part of it to the settings that make it read two small frames."""

    def settings(kind: str, part: str) -> dict:
        if kind == 'KITTISegDataset':
            folders = dict(img_path=f'img_dir/{part}', seg_map_path=f'ann_dir/{part}')
            return dict(data_root=str(small_kitti), ann_file='', label_encoding='train_ids', data_prefix=folders)
        if kind == 'CityscapesDataset':
            folders = dict(img_path=f'leftImg8bit/{part}', seg_map_path=f'gtFine/{part}')
            return dict(data_root=str(small_cityscapes), ann_file='', data_prefix=folders)
        if kind == 'LandCoverDataset':
            folders = dict(img_path=f'img_dir/{part}', seg_map_path=f'ann_dir/{part}')
            return dict(data_root=str(small_land_cover), ann_file='', data_prefix=folders)
        raise KeyError(f'{kind}: no small data set of this type; add one here')

    return settings


def shrink(cfg: Config, small_data: Callable[[str, str], dict], work_dir: Path) -> Config:
    """The same recipe on 160 x 240 frames: one iteration, one validation image, nothing downloaded or kept."""
    drop_pretrained(cfg)
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.num_workers, loader.persistent_workers = 0, False
        loader.dataset.update(small_data(loader.dataset.type, 'train' if part == 'train' else 'val'))
        shrink_pipeline(loader.dataset.pipeline)
    shrink_pipeline(cfg.tta_pipeline)
    cfg.train_dataloader.batch_size = 2
    cfg.model.data_preprocessor.size = (64, 96)
    if cfg.model.get('decode_head', {}).get('type') == 'VGGFCNHead':
        cfg.model.decode_head.channels = 16  # 4096 channels are 150 million parameters; other tests count them
    # An epoch of the two training frames is one iteration.
    cfg.train_cfg = (
        dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
        if cfg.train_cfg.type == 'EpochBasedTrainLoop'
        else dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1)
    )
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    cfg.work_dir, cfg.load_from = str(work_dir), None
    cfg.experiment_name = work_dir.name
    cfg.visualizer.update(name=work_dir.name, vis_backends=[dict(type='LocalVisBackend')])
    return cfg


def shrink_pipeline(pipeline: list) -> None:
    for step in pipeline:
        if isinstance(step, list):
            shrink_pipeline(step)
        elif step.type == 'TestTimeAug':
            shrink_pipeline(step.transforms)
        elif step.type == 'RandomCrop':
            step.crop_size = (64, 96)
        elif step.type == 'Resize':
            step.scale = tuple(side // 4 for side in step.scale)
        elif step.type == 'RandomChoiceResize':
            step.scales = [(240, 160), (160, 107)]
        elif step.type == 'RandomResize':
            step.scale = (240, 160)


@pytest.fixture
def shrunk(small_data: Callable[[str, str], dict], in_root: Path) -> Callable[[str, Path], Config]:
    """From a leaf and a work dir to the recipe on two small frames, as `shrink` makes it."""
    return lambda leaf, work_dir: shrink(Config.fromfile(leaf), small_data, work_dir)
