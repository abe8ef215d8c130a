"""The ResNet of a Mask R-CNN computes the same after the conversion as in the detector that it was trained in."""

from collections import Counter

import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.models.roi_heads.shared_heads import ResLayer
from mmengine.runner import load_checkpoint
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d

from mmext.common.weight_conversion import WeightsError, write_state_dict
from mmext.detection.converters.mask_rcnn import convert_mask_rcnn


def shake(model: nn.Module) -> nn.Module:
    """Statistics and scales as after a training: those of a fresh model hide every mix-up."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.5 * ('var' in name))
    model.eval()  # of mmdet returns nothing
    return model


@pytest.fixture(scope='module')
def torchvision_r50() -> nn.Module:
    torch.manual_seed(0)
    return shake(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=5))


def mmdet_r18() -> tuple[nn.Module, dict[str, Tensor]]:
    """A backbone and the state dict of a Mask R-CNN around it."""
    backbone = shake(ResNet(18))
    rest = ['neck.lateral_convs.0.conv.weight', 'rpn_head.rpn_cls.bias', 'roi_head.bbox_head.fc_cls.weight']
    state = {f'backbone.{name}': tensor for name, tensor in backbone.state_dict().items()}
    return backbone, state | {name: torch.rand(2) for name in [*rest, 'roi_head.mask_head.conv_logits.bias']}


@torch.no_grad()
def stages(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Outputs of the four stages of torchvision's ResNet."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    return [x := getattr(model, f'layer{number}')(x) for number in (1, 2, 3, 4)]


def close(ours, theirs) -> bool:
    return all(torch.allclose(a, b, atol=1e-5 * float(b.abs().max())) for a, b in zip(ours, theirs, strict=True))


IMAGES = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(1))


def test_of_torchvision(torchvision_r50, tmp_path):
    """Into torchvision's own ResNet, mmdet's, and the two halves of a model on the stride-16 map."""
    source = torchvision_r50.state_dict()
    with torch.no_grad():
        wanted = list(torchvision_r50.backbone.body(IMAGES).values())
    converted, report = convert_mask_rcnn(source)
    assert (report.ok, report.layout, report.arch) == (True, 'torchvision', 'R50')

    plain = resnet50(weights=None)
    lost = plain.load_state_dict(converted, strict=False)
    assert (lost.missing_keys, lost.unexpected_keys) == (['fc.weight', 'fc.bias'], [])
    assert close(stages(plain.eval(), IMAGES), wanted)

    write_state_dict(tmp_path / 'r50.pth', converted)
    ours = ResNet(50, style='pytorch')
    load_checkpoint(ours, str(tmp_path / 'r50.pth'), strict=True)
    ours.eval()
    with torch.no_grad():
        assert close(ours(IMAGES), wanted)

    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'r50.pth'))
    three = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    body, shared = ResNet(50, **three, init_cfg=init_cfg), ResLayer(50, stage=3, stride=2, init_cfg=init_cfg)
    for part in (body, shared):
        part.init_weights()
        part.eval()
    with torch.no_grad():
        assert close([shared(body(IMAGES)[0])], wanted[3:])


def test_frozen_batch_norm_has_no_counters(torchvision_r50):
    """As in the published file of the first version."""
    source = {name: t for name, t in torchvision_r50.state_dict().items() if 'num_batches_tracked' not in name}
    frozen = MaskRCNN(_resnet_fpn_extractor(resnet50(weights=None, norm_layer=FrozenBatchNorm2d), 3), 5)
    backbone = {name for name in source if name.startswith('backbone.body.')}
    assert backbone == {name for name in frozen.state_dict() if name.startswith('backbone.body.')}
    converted, report = convert_mask_rcnn(source)
    assert report.ok
    assert len(report.added) == 53
    assert all(converted[entry.target].dtype == torch.int64 and converted[entry.target] == 0 for entry in report.added)
    assert any('eps=0' in note for note in report.notes)
    ResNet(50).load_state_dict(converted, strict=True)


def test_what_another_epsilon_changes():
    """sqrt(1e-4 / 1.1e-4) = 0.953 is more than 1 % off, sqrt(1e-3 / 1.01e-3) = 0.995 is not."""
    _, source = mmdet_r18()
    source = {name: tensor for name, tensor in source.items() if 'num_batches_tracked' not in name}
    variance = torch.ones(64)
    variance[:2] = torch.tensor([1e-4, 1e-3])
    report = convert_mask_rcnn(source | {'backbone.bn1.running_var': variance})[1]
    channels = 5 * 64 + (128 + 256 + 512) * 5  # of 20 batch norms
    assert any(f'1 of {channels} channels' in note and 'variance 0.0001)' in note for note in report.notes)


def test_every_tensor_is_accounted_for(torchvision_r50):
    source = torchvision_r50.state_dict()
    converted, report = convert_mask_rcnn(source)
    assert len(report.renamed) + len(report.left_over) == len(source)
    assert len(converted) == len(report.renamed) == 318
    reasons = Counter(rest.reason for rest in report.left_over)
    assert set(reasons) == {'feature pyramid', 'region proposal network', 'box head', 'mask head'}
    assert all(torch.equal(converted[entry.target], source[entry.sources[0]]) for entry in report.renamed)
    assert any('bgr_to_rgb=True' in note for note in report.notes)


def test_of_mmdet():
    backbone, source = mmdet_r18()
    converted, report = convert_mask_rcnn(source)
    assert (report.ok, report.layout, report.arch) == (True, 'mmdet', 'R18')
    assert {rest.reason for rest in report.left_over} == {
        'feature pyramid',
        'region proposal network',
        'box head',
        'mask head',
    }
    plain = resnet18(weights=None)
    plain.load_state_dict(converted, strict=False)
    with torch.no_grad():
        assert close(stages(plain.eval(), IMAGES), backbone(IMAGES))
    assert any('caffe' in note for note in report.notes)


def test_the_fourth_stage_may_be_in_the_shared_head():
    backbone, source = mmdet_r18()
    moved = {
        name.replace('backbone.layer4.', 'roi_head.shared_head.layer4.'): tensor for name, tensor in source.items()
    }
    converted, report = convert_mask_rcnn(moved)
    assert report.ok
    assert list(converted) == list(backbone.state_dict())
    assert all(torch.equal(converted[name], tensor) for name, tensor in backbone.state_dict().items())


def test_the_result_is_the_same_whatever_the_order():
    _, source = mmdet_r18()
    one, _ = convert_mask_rcnn(source)
    other, _ = convert_mask_rcnn(dict(reversed(source.items())))
    assert list(one) == list(other)


def test_narrow_networks_are_custom():
    source = {f'backbone.{name}': tensor for name, tensor in ResNet(50, base_channels=8).state_dict().items()}
    converted, report = convert_mask_rcnn(source | {'rpn_head.rpn_cls.bias': torch.ones(1)})
    assert report.ok
    assert report.arch.startswith('custom')
    assert any('Faster R-CNN' in note for note in report.notes)
    ResNet(50, base_channels=8).load_state_dict(converted, strict=True)


def test_damaged_files():
    _, source = mmdet_r18()
    lost = {name: tensor for name, tensor in source.items() if name != 'backbone.layer3.1.bn2.running_var'}
    _, report = convert_mask_rcnn(lost)
    assert [each.source for each in report.missing] == ['backbone.layer3.1.bn2.running_var']
    _, report = convert_mask_rcnn(source | {'backbone.layer2.0.conv1.weight': torch.ones(1, 2, 3, 3)})
    assert [(each.found, each.expected) for each in report.mismatched] == [((1, 2, 3, 3), (128, 64, 3, 3))]
    short = {name: tensor for name, tensor in source.items() if not name.startswith('backbone.layer4.')}
    with pytest.raises(WeightsError, match='has no layer4'):
        convert_mask_rcnn(short)
    fewer = {name: tensor for name, tensor in source.items() if not name.startswith('backbone.layer3.1.')}
    assert convert_mask_rcnn(fewer)[1].arch.startswith('custom')


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'the 0 tensors'),
        (['conv1.weight', 'layer1.0.conv1.weight', 'fc.weight'], 'this is a ResNet alone, load the file as it is'),
        (['backbone.conv1.weight', 'head.fc.weight'], 'are not named as by a Mask R-CNN of torchvision or mmdet'),
        (['backbone.bottom_up.stem.conv1.weight', 'roi_heads.x'], "detectron2's layout"),
        (['backbone.stages.0.blocks.0.norm1.weight', 'roi_head.x'], 'has no layer1'),
        (['backbone.body.features.0.weight'], 'has no layer1'),
    ],
)
def test_other_layouts(names, message):
    with pytest.raises(WeightsError, match=message):
        convert_mask_rcnn({name: torch.ones(1) for name in names})


@pytest.mark.parametrize(
    ('extra', 'kind'),
    [
        ({'stem.0.weight': (32, 3, 3, 3)}, 'a stem of three convolutions'),
        ({'layer2.0.conv2.conv_offset.weight': (27, 128, 3, 3)}, 'deformable convolutions'),
        ({'gn1.weight': (64,)}, 'group norms'),
        ({'layer2.0.context_block.conv_mask.weight': (1, 512, 1, 1)}, 'it has parts that'),
    ],
)
def test_backbones_that_compute_something_else(extra, kind):
    _, source = mmdet_r18()
    with pytest.raises(WeightsError, match=kind):
        convert_mask_rcnn(source | {f'backbone.{name}': torch.ones(shape) for name, shape in extra.items()})


def test_grouped_convolutions():
    source = {
        f'backbone.layer{stage}.{block}.conv{number}.weight': torch.ones(128, 4 if number == 2 else 64, 1, 1)
        for stage in (1, 2, 3, 4)
        for block in (0, 1)
        for number in (1, 2, 3)
    }
    with pytest.raises(WeightsError, match='ResNeXt'):
        convert_mask_rcnn(source | {'rpn_head.x': torch.ones(1)})
