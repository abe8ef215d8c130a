"""Every leaf config builds, trains one step and tests one image; its name is true."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmext.common.running import local_weights

ROOT = Path(__file__).resolve().parents[2]
NAMED = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs/segmentation').rglob('*.py'))
LEAVES = ['configs/quickstart.py', *NAMED]
NAME = re.compile(
    r'(?P<algorithm>[a-z0-9]+)(-lovasz)?(_(?P<backbone>[a-z0-9-]+?)(-(?P<source>in1k|in22k|cityscapes|ce)-pre)?)?'
    r'_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<length>\d+)(?P<unit>k|e|i)_(?P<dataset>[a-z]+)-(?P<height>\d+)x(?P<width>\d+)'
)
ITERATIONS = {'k': 1000, 'i': 1}
DATASETS = {
    'kitti': 'KITTISegDataset',
    'sample': 'KITTISegDataset',
    'cityscapes': 'CityscapesDataset',
    'landcover': 'LandCoverDataset',
}
# Algorithms that share a folder; all others have one of their own name.
FOLDERS = {
    **dict.fromkeys(('ppm', 'aspp', 'ocr'), 'context'),
    **dict.fromkeys(('fcn32s', 'fcn16s', 'fcn8s', 'fcn4s', 'fcn2s'), 'fcn'),
    'unet16': 'unet',
}

pytestmark = pytest.mark.usefixtures('in_root')


@pytest.mark.parametrize('leaf', LEAVES)
def test_trains_a_step_and_tests_an_image(leaf, shrunk, tmp_path):
    from mmengine.runner import Runner

    cfg = shrunk(leaf, tmp_path / Path(leaf).stem)
    runner = Runner.from_cfg(cfg)
    before = {name: value.clone() for name, value in runner.model.named_parameters()}
    runner.train()
    changed = [name for name, value in runner.model.named_parameters() if not value.equal(before[name])]
    assert runner.iter == 1
    # The first step of a warm-up may be too small to change a float; the heads learn ten times faster.
    assert any('head' in name for name in changed)
    metrics = runner.test()
    assert 0 <= metrics['mIoU'] <= 100


@pytest.mark.parametrize('leaf', ['configs/quickstart.py', NAMED[-1]])
def test_views_of_test_time_augmentation_are_merged(leaf, shrunk, tmp_path):
    from mmengine.runner import Runner

    from mmext.common.running import enable_tta

    cfg = shrunk(leaf, tmp_path / 'tta')
    enable_tta(cfg)
    assert 0 <= Runner.from_cfg(cfg).test()['mIoU'] <= 100


@pytest.mark.parametrize('leaf', NAMED)
def test_name_is_true(leaf):
    cfg = Config.fromfile(leaf)
    name = NAME.fullmatch(Path(leaf).stem)
    assert name, (
        f'{leaf}: does not follow {{algorithm}}_{{backbone}}_{{gpus}}xb{{batch}}-{{schedule}}_{{dataset}}-{{crop}}'
    )
    batch, crop = int(name['batch']), (int(name['height']), int(name['width']))
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == int(name['gpus']) * batch
    assert cfg.train_dataloader.dataset.type == DATASETS[name['dataset']]
    (random_crop,) = [step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomCrop']
    assert tuple(random_crop.crop_size) == tuple(cfg.model.data_preprocessor.size) == crop
    if name['unit'] == 'e':
        assert cfg.train_cfg.max_epochs == int(name['length'])
    else:
        assert cfg.train_cfg.max_iters == ITERATIONS[name['unit']] * int(name['length']) == cfg.param_scheduler[-1].end
    assert Path(leaf).parent.name == FOLDERS.get(name['algorithm'], name['algorithm'])


@pytest.mark.parametrize('leaf', NAMED)
def test_initial_weights_are_those_of_the_name(leaf):
    """`-in1k-pre` and `-in22k-pre` fill the encoder, other sources the whole model, no source nothing."""
    cfg = Config.fromfile(leaf)
    source = NAME.fullmatch(Path(leaf).stem)['source']
    files = list(local_weights(cfg))
    if source in ('in1k', 'in22k'):
        assert files
        assert cfg.load_from is None
    else:
        assert files == ([cfg.load_from] if source else [])
    for file in files:
        assert Path(file).parts[0] in ('checkpoints', 'work_dirs'), f'{file}: the metafile cannot name its source'


def test_there_are_leaves():
    assert len(NAMED) >= 41


def test_quickstart_weights_are_those_of_its_training_frames():
    import json

    from mmext.segmentation.datasets.class_statistics import count_classes, masks_of_config

    cfg = Config.fromfile('configs/quickstart.py')
    statistics, _ = count_classes(masks_of_config(cfg, 'train'))
    stored = json.loads(Path(cfg.model.decode_head.loss_decode.class_weight).read_text())
    assert stored['pixels'] == list(statistics.pixels)
    assert stored['files_sha256'] == statistics.files_sha256
    assert stored['scheme'] == 'log1p'
