"""tools/prepare/convert_maskrcnn.py from file to file, as a user calls it."""

import json

import pytest
import torch
from mmdet.models.backbones import ResNet


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('prepare/convert_maskrcnn.py')


@pytest.fixture(scope='module')
def mask_rcnn() -> dict[str, torch.Tensor]:
    """Names as mmdet's; the width was never published."""
    backbone = {f'backbone.{name}': tensor for name, tensor in ResNet(18, base_channels=8).state_dict().items()}
    return backbone | {'rpn_head.rpn_cls.bias': torch.ones(3), 'roi_head.mask_head.conv_logits.bias': torch.ones(3)}


def fail(tool, argv, capsys) -> str:
    """Runs the tool, which must fail with one line on standard error."""
    assert tool.main([str(each) for each in argv]) == 1
    message = capsys.readouterr().err
    assert message.startswith('error: ')
    assert 'Fix: ' in message
    assert len(message.splitlines()) == 1
    return message


def test_a_training_checkpoint(tool, tmp_path, mask_rcnn, capsys):
    """With the parallel prefix, and optimiser state beside the weights."""
    source, target, report = tmp_path / 'epoch_12.pth', tmp_path / 'new' / 'r18.pth', tmp_path / 'r' / 'r.json'
    state = {f'module.{name}': tensor for name, tensor in mask_rcnn.items()}
    torch.save(dict(state_dict=state, optimizer=dict(state={})), source)
    assert tool.main([str(source), str(target), '--custom', '--report', str(report)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in mask_rcnn)
    assert "style='caffe'" in printed
    saved = torch.load(target, weights_only=True)
    ResNet(18, base_channels=8).load_state_dict(saved['state_dict'], strict=True)
    assert saved['meta']['source'] == 'epoch_12.pth'
    assert 'bgr_to_rgb' in saved['meta']['notes'][0]
    content = json.loads(report.read_text())
    assert content['counts'] == dict(matched=0, renamed=20 * 6, added=0, left_over=2, missing=0, mismatched=0)


def test_sizes_that_were_never_published_have_to_be_asked_for(tool, tmp_path, mask_rcnn, capsys):
    torch.save(mask_rcnn, tmp_path / 'w.pth')
    assert 'was never published' in fail(tool, [tmp_path / 'w.pth', tmp_path / 'out.pth'], capsys)
    assert not (tmp_path / 'out.pth').exists()


def test_an_incomplete_file_writes_nothing_but_the_report(tool, tmp_path, mask_rcnn, capsys):
    rest = {name: tensor for name, tensor in mask_rcnn.items() if name != 'backbone.layer2.0.bn2.running_var'}
    torch.save(rest, tmp_path / 'w.pth')
    argv = [tmp_path / 'w.pth', tmp_path / 'out.pth', '--custom', '--report', tmp_path / 'r.json']
    assert f"{tmp_path / 'w.pth'}: tensor 'backbone.layer2.0.bn2.running_var' of shape" in fail(tool, argv, capsys)
    assert not (tmp_path / 'out.pth').exists()
    assert json.loads((tmp_path / 'r.json').read_text())['ok'] is False


def test_a_classifier_is_refused(tool, tmp_path, capsys):
    torch.save(ResNet(18, base_channels=8).state_dict(), tmp_path / 'w.pth')
    message = fail(tool, [tmp_path / 'w.pth', tmp_path / 'out.pth'], capsys)
    assert 'w.pth: the ' in message
    assert 'this is a ResNet alone' in message
