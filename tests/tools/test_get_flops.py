"""The tool, called as a user calls it."""

import json

import pytest


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('get_flops.py')


CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=512))
test_pipeline = [dict(type='CenterCrop', crop_size=64)]
"""


@pytest.fixture
def config(tmp_path) -> str:
    path = tmp_path / 'resnet18.py'
    path.write_text(CONFIG)
    return str(path)


def test_figures_on_screen_and_in_the_file(tool, config, tmp_path, capsys):
    target = tmp_path / 'out' / 'f.json'
    assert tool.main([config, '--shape', '64', '96', '--json', str(target), '--by-module', '2']) == 0
    screen = capsys.readouterr().out
    content = json.loads(target.read_text())
    assert content['config'] == config
    assert content['input_shape'] == [1, 3, 64, 96]
    assert content['flops'] == 2 * content['macs']
    assert sum(row['macs'] for row in content['by_module']) == content['macs']
    assert sum(row['params'] for row in content['by_module']) == content['params']
    assert content['uncounted']['unknown'] == {}
    assert 'aten::relu_' in content['uncounted']['zero_by_convention']
    assert f'{content["macs"] / 1e9:.3f} G MACs' in screen
    assert '1 x 3 x 64 x 96' in screen
    assert 'relu_ (17)' in screen


def test_size_from_the_config_options_and_scope(tool, config, capsys):
    options = ['--cfg-options', 'model.head.num_classes=20', '--scope', 'backbone', '--by-module', '0']
    assert tool.main([config, *options]) == 0
    screen = capsys.readouterr().out
    assert '1 x 3 x 64 x 64' in screen
    assert 'size from test pipeline, CenterCrop 64' in screen
    assert '(whole model)' in screen
    assert '11.177 M' in screen  # the backbone without any head


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--cfg-options', 'default_scope=mmpose'], "default_scope is 'mmpose'"),
        (['--cfg-options', 'test_pipeline=[]'], 'pass --shape H W'),
        (['--cfg-options', 'model.head.in_channels=3'], 'failed on a 1 x 3 x 64 x 64 input'),
    ],
)
def test_bad_input_is_one_line(tool, config, capsys, arguments, message):
    assert tool.main([config, *arguments]) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.startswith('error: ')
    assert errors.count('\n') == 1


@pytest.mark.parametrize('arguments', [['--shape', '0', '5'], ['--by-module', '-1'], ['--json', '/']])
def test_bad_arguments_are_refused(tool, config, capsys, arguments):
    with pytest.raises(SystemExit):
        tool.main([config, *arguments])
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'published'),
    [
        ('segformer/segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368.py', '15.579'),
        ('basicnet/basicnet_1xb4-180e_kitti-256x864.py', '67.003'),
    ],
)
def test_kitti_recipes_give_the_published_figures(tool, root, tmp_path, config, published):
    target = tmp_path / 'f.json'
    path = root / 'configs' / 'segmentation' / config
    assert tool.main([str(path), '--shape', '375', '1242', '--json', str(target)]) == 0
    content = json.loads(target.read_text())
    assert f'{content["macs"] / 1e9:.3f}' == published
    assert not content['uncounted']['unknown']
