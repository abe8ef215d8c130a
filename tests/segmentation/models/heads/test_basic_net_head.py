import torch
import torch.nn.functional as F


def build(**kwargs):
    from mmext.segmentation.models import BasicNetHead

    return BasicNetHead(in_channels=8, num_classes=5, **kwargs).eval()


def test_three_doublings_then_the_fixed_size():
    features = (torch.randn(2, 8, 22, 76),)
    # (n - 1) * 2 + 4 + 1, (n - 1) * 2 + 4, (n - 1) * 2 - 2 + 4
    assert build(output_hw=None)(features).shape == (2, 5, 192, 624)
    assert build(output_hw=(256, 864))(features).shape == (2, 5, 256, 864)


def test_second_resize_changes_nothing():
    head = build(output_hw=(40, 60))
    features = torch.randn(1, 8, 3, 5)
    scores = head.upsample(head.conv_seg(features))
    once = F.interpolate(scores, size=(40, 60), mode='bilinear', align_corners=True)
    torch.testing.assert_close(head((features,)), once)


def test_zero_features_give_the_bias_everywhere_it_is_constant():
    head = build(output_hw=(16, 16))
    torch.nn.init.zeros_(head.conv_seg.bias)
    assert head((torch.zeros(1, 8, 3, 3),)).abs().max() == 0


def test_predictions_have_the_image_size():
    head = build(output_hw=(16, 24))
    metas = [dict(img_shape=(30, 50), pad_shape=(30, 50))]
    assert head.predict((torch.randn(1, 8, 3, 3),), metas, {}).shape == (1, 5, 30, 50)
