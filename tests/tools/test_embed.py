"""The command on a tiny network and sixteen pictures. tests/analysis/test_embedding.py checks values."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmext.classification'], allow_failed_imports=False)
data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True, num_classes=2)
model = dict(
    type='ImageClassifier', data_preprocessor=data_preprocessor,
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, num_stages=2, strides=(1, 2),
                  dilations=(1, 1), out_indices=(1, ), norm_cfg=dict(type='BN', requires_grad=True)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=8))
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=16), dict(type='PackInputs')]
noise = [dict(type='LoadImageFromFile'), dict(type='RandomResizedCrop', scale=16), dict(type='PackInputs')]
data = dict(type='FileNameLabelDataset', data_root='photos', classes=['cat', 'dog'])
train_dataloader = dict(batch_size=5, num_workers=0, drop_last=True, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='RepeatDataset', times=3, dataset=dict(data, pipeline=noise)))
val_dataloader = dict(batch_size=5, num_workers=0, dataset=dict(data, pipeline=test_pipeline),
    collate_fn=dict(type='default_collate'), sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = dict(val_dataloader, dataset=dict(data, labelled=False, pipeline=test_pipeline))
"""
ARGS = ['c.py', 'w.pth', '--out', 'out', '--method', 'pca']


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/embed.py')


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch) -> torch.nn.Module:
    """A config, its weights, and pictures: bright cats and dark dogs."""
    monkeypatch.chdir(tmp_path)
    Path('c.py').write_text(CONFIG)
    rng = np.random.default_rng(0)
    Path('photos').mkdir()
    for name, low in (('cat', 160), ('dog', 0)):
        for number in range(8):
            picture = rng.integers(low, low + 90, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(picture).save(f'photos/{name}_{number}.png')
    cfg = Config.fromfile('c.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng():
        torch.manual_seed(0)
        network = MODELS.build(cfg.model)
        network.init_weights()
    torch.save({'state_dict': network.state_dict(), 'meta': {}}, 'w.pth')
    return network.eval()


def arrays(out: str = 'out') -> dict[str, np.ndarray]:
    with np.load(f'{out}/features.npz') as file:
        return dict(file)


def document(out: str = 'out') -> dict:
    return json.loads(Path(out, 'embedding.json').read_text())


def test_files_and_scores(tool, capsys):
    assert tool.main(ARGS) == 0
    assert sorted(path.name for path in Path('out').iterdir()) == ['embedding.json', 'embedding.png', 'features.npz']
    found = arrays()
    assert found['labels'].tolist() == [0] * 8 + [1] * 8
    assert found['classes'].tolist() == ['cat', 'dog']
    assert {
        name: (array.shape, str(array.dtype)) for name, array in found.items() if name in ('features', 'points')
    } == {'features': ((16, 8), 'float32'), 'points': ((16, 2), 'float32')}
    scores = document()
    assert (scores['knn_accuracy'], scores['majority'], scores['samples']) == (1.0, 0.5, 16)
    assert scores['read'] == 'input of head.fc'
    printed = capsys.readouterr().out
    assert 'PCA of 16 x 8 features' in printed
    assert '5-NN 100.0% (largest class 50.0%), trustworthiness' in printed


def test_features_are_those_before_the_classifier(tool, model):
    assert tool.main(ARGS) == 0
    files = [f'photos/{name}_{number}.png' for name in ('cat', 'dog') for number in range(8)]
    pictures = [cv2.resize(cv2.imread(file), (16, 16))[..., ::-1].astype(np.float32) for file in files]
    inputs = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).sub(127.5).div(127.5)
    with torch.no_grad():
        expected = model.extract_feat(inputs, stage='pre_logits')
    np.testing.assert_allclose(arrays()['features'], expected.numpy(), atol=1e-5)


def test_training_split_is_read_once_without_augmentation(tool):
    assert tool.main(ARGS) == 0
    assert tool.main(['c.py', 'w.pth', '--split', 'train', '--method', 'pca', '--out', 'train']) == 0
    np.testing.assert_allclose(arrays('train')['features'], arrays()['features'], atol=1e-6)


def test_equal_seeds_draw_equal_pictures(tool):
    for out, seed in (('a', 1), ('b', 1), ('c', 2)):
        assert tool.main([*ARGS, '--out', out, '--limit', '8', '--seed', str(seed)]) == 0
    assert len(arrays('a')['labels']) == 8
    np.testing.assert_array_equal(arrays('a')['points'], arrays('b')['points'])
    assert not np.array_equal(arrays('a')['features'], arrays('c')['features'])


def test_layer(tool):
    assert tool.main([*ARGS, '--layer', 'backbone.layer1']) == 0
    assert arrays()['features'].shape == (16, 4)
    assert document()['read'] == 'output of backbone.layer1'


def test_tsne(tool, capsys):
    assert tool.main(['c.py', 'w.pth', '--out', 'out']) == 0
    assert document()['method'] == 'tsne'
    assert 'note: perplexity reduced from 30 to 5' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['c.py', 'none.pth'], 'none.pth: no such checkpoint'),
        (['none.py', 'w.pth'], 'none.py: no such config'),
        (['c.py', 'w.pth', '--split', 'test'], 'test_dataloader: a picture has no labels'),
        (['c.py', 'w.pth', '--layer', 'nowhere'], '--layer nowhere: the model has no such module'),
        (
            ['c.py', 'w.pth', '--cfg-options', 'val_dataloader=None'],
            'c.py: no val_dataloader or no model; the config has train, test',
        ),
        (['c.py', 'w.pth', '--device', 'cuda:99'], '--device cuda:99: not on this machine'),
        (['c.py', 'w.pth', '--cfg-options', 'val_dataloader.dataset.data_root=nowhere'], 'nowhere'),
    ],
)
def test_errors(tool, capsys, args, message):
    assert tool.main([*args, '--method', 'pca', '--out', 'out']) == 1
    assert f'error: {message}' in capsys.readouterr().err
    assert not Path('out').exists()
