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


VOC_LISTS = {('VOC2007', 'trainval'): 2, ('VOC2007', 'test'): 1, ('VOC2012', 'val'): 1}


@pytest.fixture(scope='session')
def small_voc(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The first pictures of each part of the embedded VOCdevkit: two to train, one to validate, one to test."""
    devkit = tmp_path_factory.mktemp('data') / 'VOCdevkit'
    for (year, part), count in VOC_LISTS.items():
        source, target = root / 'data/samples/VOCdevkit' / year, devkit / year
        ids = (source / f'ImageSets/Main/{part}.txt').read_text().split()[:count]
        for folder, suffix in (('JPEGImages', 'jpg'), ('Annotations', 'xml')):
            (target / folder).mkdir(parents=True, exist_ok=True)
            for image in ids:
                shutil.copy(source / folder / f'{image}.{suffix}', target / folder)
        lists = target / 'ImageSets/Main'
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f'{part}.txt').write_text('\n'.join(ids) + '\n')
    return devkit


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
    cfg.default_hooks.initialisation.allow_frozen_random = ['teacher'] if 'teacher' in cfg.model else []
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


@pytest.fixture(scope='session')
def resnet50_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a ResNet-50 in a file as torchvision publishes them."""
    import torch
    from torchvision.models import resnet50

    file = tmp_path_factory.mktemp('weights') / 'resnet50.pth'
    torch.save(resnet50(weights=None).state_dict(), file)
    return file


def shrink_detector(cfg: Config, devkit: Path, weights: Path, work_dir: Path) -> Config:
    """The same recipe on pictures of 96 pixels with few regions: an iteration a stage, one image to test."""
    # What is frozen or keeps the statistics of its batch norm must not be random.
    for module in (cfg.model.backbone, cfg.model.roi_head.get('shared_head', {})):
        if module.get('init_cfg'):
            module.init_cfg.checkpoint = str(weights)
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.num_workers, loader.persistent_workers = 0, False
        loader.dataset.data_root = str(devkit)
        for step in loader.dataset.pipeline:
            if step.type in ('Resize', 'RandomResize'):
                step.scale = (96, 96)
            elif step.type == 'RandomCrop':
                step.crop_size = (96, 96)
            elif step.type == 'Pad':
                step.size = (96, 96)
    settings = cfg.model.train_cfg
    settings.rpn_proposal.update(nms_pre=50, max_per_img=8, min_bbox_size=0)
    settings.rcnn.sampler.num = 8
    cfg.model.test_cfg.rpn.update(nms_pre=50, max_per_img=4, min_bbox_size=0)
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg.stages = [{**stage, 'epochs': 1, 'batch_size': 2} for stage in cfg.train_cfg.stages[:2]]
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    cfg.work_dir, cfg.load_from = str(work_dir), None
    cfg.experiment_name = work_dir.name
    cfg.visualizer.update(name=work_dir.name, vis_backends=[dict(type='LocalVisBackend')])
    return cfg


@pytest.fixture
def shrunk_detector(small_voc: Path, resnet50_weights: Path, in_root: Path) -> Callable[[str, Path], Config]:
    """From a leaf and a work dir to the recipe on a few small pictures, as `shrink_detector` makes it."""
    return lambda leaf, work_dir: shrink_detector(Config.fromfile(leaf), small_voc, resnet50_weights, work_dir)


@pytest.fixture(scope='session')
def small_pets(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Two cats and two dogs to train, and as many to validate, of the embedded sample."""
    folder = tmp_path_factory.mktemp('data') / 'pets'
    for part in ('train', 'val'):
        (folder / part).mkdir(parents=True)
        for label in ('cat', 'dog'):
            for file in sorted((root / 'data/samples/pets' / part).glob(f'{label}*'))[:2]:
                shutil.copy(file, folder / part)
    return folder


def shrink_classifier(cfg: Config, pets: Path, work_dir: Path) -> Config:
    """The same recipe with four pictures a batch and a shallow network: an iteration a stage, a few images to test."""
    pretrained = bool(cfg.model.backbone.get('init_cfg'))
    drop_pretrained(cfg)
    cfg.default_hooks.initialisation = dict(
        type='InitialisationProofHook', allow_frozen_random=['backbone'] if pretrained else []
    )
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.num_workers, loader.persistent_workers, loader.batch_size = 0, False, 4
        if loader.dataset.type == 'FileNameLabelDataset':
            loader.dataset.data_root = str(pets)
        else:
            loader.dataset.update(type='SampleCIFAR100', data_root='data/samples/cifar100', indices=4)
    if 'layers' not in cfg.model.backbone and 'ViT' in cfg.model.backbone.type:
        cfg.model.backbone.num_layers = 2
    elif cfg.model.backbone.type == 'VisionTransformer':
        cfg.model.backbone.arch = dict(embed_dims=768, num_layers=1, num_heads=12, feedforward_channels=64)
    if cfg.model.backbone.type in ('ResNeXt', 'VGG'):
        cfg.model.backbone.depth = dict(ResNeXt=50, VGG=11)[cfg.model.backbone.type]
    if cfg.train_cfg.type == 'StagedTrainLoop':
        cfg.train_cfg.stages = [{**stage, 'epochs': 1, 'batch_size': 4} for stage in cfg.train_cfg.stages]
    else:
        cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    cfg.work_dir, cfg.load_from = str(work_dir), None
    cfg.experiment_name = work_dir.name
    cfg.visualizer.update(name=work_dir.name, vis_backends=[dict(type='LocalVisBackend')])
    return cfg


@pytest.fixture
def shrunk_classifier(small_pets: Path, in_root: Path) -> Callable[[str, Path], Config]:
    """From a leaf and a work dir to the recipe on a few pictures, as `shrink_classifier` makes it."""
    return lambda leaf, work_dir: shrink_classifier(Config.fromfile(leaf), small_pets, work_dir)
