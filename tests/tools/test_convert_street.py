"""tools/prepare/convert_street.py from file to file, as a user calls it."""

import json
import runpy
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

CONVERTERS = Path(__file__).resolve().parents[1] / 'segmentation' / 'converters'
SEMSEG = SimpleNamespace(**runpy.run_path(str(CONVERTERS / 'semseg_reference.py')))
VAINF = SimpleNamespace(**runpy.run_path(str(CONVERTERS / 'deep_lab_reference.py')))


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('prepare/convert_street.py')


@pytest.fixture
def psp() -> dict[str, torch.Tensor]:
    return SEMSEG.random_weights(SEMSEG.network_shapes('PSPNet'))


def fail(tool, argv, capsys) -> str:
    """Runs the tool, which must fail with one line on standard error."""
    assert tool.main([str(each) for each in argv]) == 1
    message = capsys.readouterr().err
    assert message.startswith('error: ')
    assert 'Fix: ' in message
    assert len(message.splitlines()) == 1
    return message


def test_training_checkpoint_of_semseg(tool, tmp_path, psp, capsys):
    """As its training saves it: parallel prefix, epoch and optimiser state beside the weights."""
    source, target, report = tmp_path / 'train_epoch_200.pth', tmp_path / 'new' / 'psp.pth', tmp_path / 'r' / 'r.json'
    inner = OrderedDict((f'module.{name}', tensor) for name, tensor in psp.items())
    torch.save({'epoch': 200, 'state_dict': inner, 'optimizer': {'state': {}, 'param_groups': []}}, source)
    assert tool.main([str(source), str(target), '--custom', '--report', str(report)]) == 0
    saved = torch.load(target, weights_only=True)
    assert torch.equal(saved['state_dict']['decode_head.conv_seg.weight'], psp['cls.4.weight'])
    assert torch.equal(saved['state_dict']['backbone.stem.3.weight'], psp['layer0.3.weight'])
    assert saved['meta']['source'] == 'train_epoch_200.pth'
    content = json.loads(report.read_text())
    assert (content['ok'], content['layout'], content['counts']['renamed']) == (True, 'hszhao/semseg', len(psp))
    printed = capsys.readouterr().out
    assert all(name in printed for name in psp)


def test_training_checkpoint_of_vainf_loads_in_the_model(tool, tmp_path, in_root, mmseg_scope, capsys):
    """As its training saves it: under `model_state`, with a score of NumPy. Every tensor finds its place."""
    from mmengine.config import Config
    from mmengine.runner import load_checkpoint
    from mmseg.registry import MODELS

    source, target = tmp_path / 'best_deeplabv3plus_mobilenet_cityscapes_os16.pth', tmp_path / 'deeplab.pth'
    weights = VAINF.random_weights(VAINF.network_shapes())
    rest = {'cur_itrs': 100, 'optimizer_state': {}, 'scheduler_state': {}, 'best_score': np.float64(0.72)}
    torch.save({'model_state': OrderedDict(weights), **rest}, source)
    assert tool.main([str(source), str(target)]) == 0
    assert 'os16 or os8' in capsys.readouterr().out
    model = MODELS.build(Config.fromfile('configs/_base_/models/deeplabv3plus_mobilenet-v2.py').model)
    load_checkpoint(model, str(target), strict=True)
    assert torch.equal(model.decode_head.conv_seg.bias, weights['classifier.classifier.3.bias'])


def test_sizes_that_were_never_published_have_to_be_asked_for(tool, tmp_path, psp, capsys):
    source, target = tmp_path / 'w.pth', tmp_path / 'out.pth'
    torch.save(psp, source)
    assert 'was never published' in fail(tool, [source, target], capsys)
    assert not target.exists()


def test_incomplete_file_writes_nothing_but_the_report(tool, tmp_path, psp, capsys):
    source, target, report = tmp_path / 'w.pth', tmp_path / 'out.pth', tmp_path / 'r.json'
    del psp['layer2.1.bn2.running_var']
    torch.save(psp, source)
    target.write_text('old')
    message = fail(tool, [source, target, '--custom', '--report', report], capsys)
    assert f"{source}: tensor 'layer2.1.bn2.running_var' of shape" in message
    assert target.read_text() == 'old'
    assert json.loads(report.read_text())['ok'] is False


@pytest.mark.parametrize(
    ('names', 'hint'),
    [
        (['backbone.conv1.weight', 'backbone.layer4.0.conv1.weight', 'classifier.aspp.x'], 'a ResNet or HRNet'),
        (['backbone.stem.0.weight', 'decode_head.conv_seg.bias'], 'names of mmseg already'),
    ],
)
def test_other_networks_are_refused(tool, tmp_path, capsys, names, hint):
    torch.save({name: torch.ones(1) for name in names}, tmp_path / 'w.pth')
    message = fail(tool, [tmp_path / 'w.pth', tmp_path / 'out.pth'], capsys)
    assert 'w.pth: the ' in message
    assert hint in message


def test_source_is_never_overwritten(tool, tmp_path, psp, capsys):
    torch.save(psp, tmp_path / 'w.pth')
    assert 'is the source itself' in fail(tool, [tmp_path / 'w.pth', tmp_path / '.' / 'w.pth'], capsys)
