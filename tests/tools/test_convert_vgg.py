"""The tool, called as a user calls it."""

import pytest
import torch
import torchvision


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('prepare/convert_vgg.py').main


def test_writes_weights_that_load(main, tmp_path, capsys):
    torch.save(torchvision.models.vgg11(weights=None).state_dict(), tmp_path / 'vgg.pth')
    assert main([str(tmp_path / 'vgg.pth'), str(tmp_path / 'out.pth')]) == 0
    assert 'features.0.conv.weight' in torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert 'torchvision -> VGG11' in capsys.readouterr().out


def test_another_network_is_an_error(main, tmp_path, capsys):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / 'r18.pth')
    assert main([str(tmp_path / 'r18.pth'), str(tmp_path / 'out.pth')]) == 1
    assert 'no VGG' in capsys.readouterr().err
    assert not (tmp_path / 'out.pth').exists()
