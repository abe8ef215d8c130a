import pytest
import torch
import torchvision
from mmengine.registry import DefaultScope

from mmext.classification.converters.vgg import BLOCKS, convert_vgg
from mmext.common.weight_conversion import WeightsError


@pytest.fixture(scope='module')
def theirs():
    return torchvision.models.vgg11(weights=None).eval()


def test_our_network_gives_their_scores(theirs):
    import mmpretrain.models  # noqa: F401
    from mmpretrain.registry import MODELS

    converted, report = convert_vgg(theirs.state_dict())
    assert report.ok
    assert {entry.source for entry in report.left_over} == {'classifier.6.weight', 'classifier.6.bias'}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        ours = MODELS.build(dict(type='VGG', depth=11, num_classes=1000))
    last = {name: value for name, value in theirs.state_dict().items() if name.startswith('classifier.6.')}
    assert not any(ours.load_state_dict(converted | last, strict=True))
    ours.eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(images)[0], theirs(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('arch', BLOCKS)
def test_every_depth_is_told_by_its_tensors(arch):
    with torch.device('meta'):
        net = getattr(torchvision.models, arch.lower())(weights=None)
    converted, report = convert_vgg(net.state_dict())
    assert (report.arch, report.ok) == (arch, True)
    assert len(converted) == len(net.state_dict()) - 2


def test_a_missing_tensor_is_named(theirs):
    tensors = dict(theirs.state_dict())
    del tensors['classifier.3.bias']
    _, report = convert_vgg(tensors)
    assert 'classifier.3.bias' in report.error('file.pth')


@pytest.mark.parametrize('arch', ['vgg11_bn', 'resnet18'])
def test_other_networks_are_refused(arch):
    with torch.device('meta'):
        net = getattr(torchvision.models, arch)(weights=None)
    with pytest.raises(WeightsError, match=r'no VGG without batch norm: \d+ layers'):
        convert_vgg(net.state_dict())
