"""The command on a tiny network: files, settings and exit status. tests/classification/attention checks values."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

CONFIG = """
default_scope = 'mmpretrain'
data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True, num_classes=3)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='VisionTransformer', img_size=32, patch_size=8, arch=dict(
        embed_dims=24, num_layers=2, num_heads=4, feedforward_channels=48)),
    head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=24))
pipeline = [
    dict(type='LoadImageFromFile'), dict(type='ResizeEdge', scale=40, edge='short'),
    dict(type='CenterCrop', crop_size=32), dict(type='PackInputs')]
test_dataloader = dict(dataset=dict(type='CustomDataset', data_root='nowhere', pipeline=pipeline))
"""
STYLES = ('alpha', 'heat', 'mask', 'overlay')


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/attention.py')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A config, weights and pictures of two sizes."""
    monkeypatch.chdir(tmp_path)
    Path('c.py').write_text(CONFIG)
    cfg = Config.fromfile('c.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        torch.save({'state_dict': model.state_dict(), 'meta': dict(dataset_meta=dict(CLASSES=list('abc')))}, 'w.pth')
    rng = np.random.default_rng(0)
    for name, size in (('photos/1.png', (40, 50)), ('photos/2.jpg', (90, 60))):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(name)
    return tmp_path


def files(out: str = 'out') -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in Path(out).rglob('*') if path.is_file())


def document(out: str = 'out') -> dict:
    return json.loads(Path(out, 'attention.json').read_text())


def read(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_everything(tool, capsys):
    kinds = ['rollout', 'grad', 'heads', 'position', 'distance']
    assert tool.main(['c.py', 'w.pth', 'photos', '--out', 'out', '--kinds', *kinds]) == 0
    maps = [f'{kind}/{name}_{style}.png' for kind in ('grad', 'rollout') for name in (1, 2) for style in STYLES]
    figures = ['distance.png', 'grad_sheet.png', 'heads/1.png', 'heads/2.png', 'position.png', 'rollout_sheet.png']
    assert files() == sorted(['attention.json', *maps, *figures])
    for path in maps:
        assert read(f'out/{path}').shape == (32, 32, 4 if 'alpha' in path else 3)
    alpha = read('out/rollout/1_alpha.png')[..., 3]
    assert alpha.min() < 60
    assert alpha.max() > 195
    found = document()
    assert [layer['name'] for layer in found['layers']] == ['backbone.layers.0.attn', 'backbone.layers.1.attn']
    assert all(0 < layer['relative'] < 1e-5 for layer in found['layers'])
    assert all(len(layer['mean_distance_px']) == 4 for layer in found['layers'])
    assert (found['checkpoint'], found['classes'], found['unreadable']) == ('w.pth', ['a', 'b', 'c'], [])
    for entry in found['images']:
        assert entry['grid_hw'] == [4, 4]
        assert entry['target'] == entry['predicted']
        assert 1 / 3 <= entry['probability'] <= 1
    printed = capsys.readouterr()
    assert 'backbone.layers.1.attn' in printed.out
    assert 'out: 2 pictures, 23 files' in printed.out
    assert 'random' not in printed.out
    assert 'warning' not in printed.err


def test_the_picture_is_what_the_network_sees(tool):
    options = ['--kinds', 'rollout', '--blocks']
    assert tool.main(['c.py', 'w.pth', 'photos/1.png', '--out', 'out', *options]) == 0
    # 40 x 50: nothing to resize, then the middle.
    original = read('photos/1.png')[4:36, 9:41]
    drawn = read('out/rollout/1_alpha.png')
    np.testing.assert_array_equal(drawn[..., :3], original)
    blocks = drawn[..., 3].reshape(4, 8, 4, 8)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert {0, 255} <= set(blocks.flatten())


def test_settings_change_what_they_should(tool):
    base = ['c.py', 'w.pth', 'photos/1.png']
    for out, options in {
        'mean': [],
        'max': ['--head', 'max'],
        'min': ['--head', 'min'],
        'class0': ['--kinds', 'grad', '--class', '0'],
        'class1': ['--kinds', 'grad', '--class', '1'],
        'middle': ['--kinds', 'heads'],
        'chosen': ['--kinds', 'heads', '--query', '2', '2'],
        'corner': ['--kinds', 'heads', '--query', '0', '3'],
        'last': ['--kinds', 'heads', '--layers', '-1'],
        'log': ['--kinds', 'heads', '--log'],
    }.items():
        assert tool.main([*base, '--out', out, *options]) == 0
    heats = [read(f'{out}/rollout/1_heat.png') for out in ('mean', 'max', 'min')]
    heats += [read(f'{out}/grad/1_heat.png') for out in ('class0', 'class1')]
    assert len({heat.tobytes() for heat in heats}) == 5
    heads = {out: read(f'{out}/heads/1.png') for out in ('middle', 'chosen', 'corner', 'last', 'log')}
    np.testing.assert_array_equal(heads['middle'], heads['chosen'])
    assert len({picture.tobytes() for picture in heads.values()}) == 4
    assert heads['last'].shape[0] < heads['middle'].shape[0]


def test_random_weights_are_the_same_in_every_run_and_said(tool, capsys):
    for out in ('a', 'b'):
        assert tool.main(['c.py', 'photos/1.png', '--out', out, '--kinds', 'rollout', 'grad']) == 0
    np.testing.assert_array_equal(read('a/rollout/1_heat.png'), read('b/rollout/1_heat.png'))
    printed = capsys.readouterr()
    assert 'note: no checkpoint, the weights are random' in printed.out
    # mmpretrain starts the head of a ViT with zeros.
    assert 'note: grad of photos/1.png: the same for all patches' in printed.out
    assert 'Initialized by' not in printed.out + printed.err


def test_positions_need_no_picture(tool):
    assert tool.main(['c.py', 'w.pth', '--out', 'out', '--kinds', 'position']) == 0
    assert files() == ['attention.json', 'position.png']
    with pytest.raises(SystemExit):
        tool.main(['c.py', 'w.pth', '--out', 'out'])


def test_a_data_set_that_holds_rgb_pictures(tool):
    Path('rgb.py').write_text(
        CONFIG.replace('to_rgb=True', 'to_rgb=False')
        + "test_dataloader = dict(dataset=dict(type='CIFAR100', pipeline=[dict(type='PackInputs')]))\n"
    )
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save('small.png')
    assert tool.main(['rgb.py', 'w.pth', 'small.png', '--out', 'rgb']) == 0
    np.testing.assert_array_equal(read('rgb/rollout/small_alpha.png')[..., :3], read('small.png'))
    # The same network on the same picture, read as a file by its own pipeline.
    assert (
        tool.main(
            [
                'c.py',
                'w.pth',
                'small.png',
                '--out',
                'bgr',
                '--cfg-options',
                'test_dataloader.dataset.pipeline.1.scale=32',
            ]
        )
        == 0
    )
    np.testing.assert_array_equal(read('rgb/rollout/small_alpha.png'), read('bgr/rollout/small_alpha.png'))


def test_unreadable_files_are_listed_and_the_rest_is_done(tool, capsys):
    Path('photos/0.png').touch()
    Path('photos/3.png').write_text('text')
    assert tool.main(['c.py', 'w.pth', 'photos', '--out', 'out']) == 1
    assert [entry['image'] for entry in document()['unreadable']] == ['photos/0.png', 'photos/3.png']
    assert len(document()['images']) == 2
    assert 'error: photos/3.png: ' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['c.py', 'none.pth', 'photos'], 'none.pth: no such checkpoint'),
        (['c.py', 'w.pth', 'nowhere'], 'nowhere: no such file or folder'),
        (['none.py', 'w.pth', 'photos'], 'none.py: no such config'),
        (['c.py', 'w.pth', 'photos', '--device', 'cuda:99'], '--device cuda:99: not on this machine'),
        (['c.py', 'w.pth', 'photos', '--kinds', 'heads', '--query', '4', '0'], 'photos/1.png: patch 4 0: outside'),
        (['c.py', 'w.pth', 'photos', '--kinds', 'heads', '--layers', '2'], 'layer 2: the model has 2, 0 to 1'),
        (['c.py', 'w.pth', 'photos', '--kinds', 'grad', '--class', '3'], 'class 3: the model has 3 classes'),
        (
            ['c.py', 'photos', '--cfg-options', 'model.backbone.type=BEiTViT'],
            'photos/1.png: backbone.layers.0.attn (BEiTAttention)',
        ),
        (['c.py', 'photos', '--cfg-options', 'default_scope=mmseg'], "c.py: default_scope is 'mmseg'"),
    ],
)
def test_errors_name_value_and_file(tool, options, message, capsys):
    assert tool.main([*options, '--out', 'out']) == 1
    error = capsys.readouterr().err
    assert 'error: ' in error
    assert message in error


def test_results_do_not_land_among_the_inputs(tool, capsys):
    assert tool.main(['c.py', 'w.pth', 'photos', '--out', 'photos/out']) == 1
    assert 'lies in the input folder' in capsys.readouterr().err
