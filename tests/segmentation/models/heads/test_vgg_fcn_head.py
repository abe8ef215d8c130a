import pytest
import torch
from torch import nn

BACKBONE = 14_714_688  # counted in the backbone's test
CLASSES = 7


def build(stride: int, **settings):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    return MODELS.build(dict(type='VGGFCNHead', **dict(dict(stride=stride, num_classes=CLASSES), **settings)))


def small(stride: int, **settings):
    return build(stride, channels=16, **settings)


def backbone():
    from mmext.segmentation.models import VGG16

    torch.manual_seed(1)
    net = VGG16()
    net.init_weights()
    return net


def conv(kernel: int, fan_in: int, fan_out: int) -> int:
    return (kernel * kernel * fan_in + 1) * fan_out


@pytest.mark.parametrize(
    ('stride', 'skips', 'total'),
    [
        (32, [], 184_671_054),
        (16, [512], 184_637_216),
        (8, [512, 256], 184_629_810),
        (4, [512, 256, 128], 184_628_564),
        (2, [512, 256, 128, 64], 184_628_634),
    ],
)
def test_parameters_are_those_of_the_printed_architecture(stride, skips, total):
    with torch.device('meta'):
        head = build(stride)
    by_hand = conv(3, 512, 4096) + conv(3, 4096, 4096) + conv(1, 4096, CLASSES)
    by_hand += sum(conv(1, width, CLASSES) + conv(2, CLASSES, CLASSES) for width in skips)
    by_hand += conv(stride, CLASSES, CLASSES)
    assert sum(parameter.numel() for parameter in head.parameters()) == by_hand
    assert BACKBONE + by_hand == total


def block(width: int) -> nn.Sequential:
    layers = [nn.Conv2d(512, width, 3, 1, 1), nn.ReLU(), nn.Dropout2d(0.1)]
    return nn.Sequential(*layers, nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Dropout2d(0.1))


def copy(target: nn.Module, source: nn.Module) -> nn.Module:
    target.load_state_dict(dict(zip(target.state_dict(), source.state_dict().values(), strict=True)))
    return target.eval()


def test_fcn32s_equals_a_transcription_of_the_print():
    net, head = backbone(), small(32).eval()
    conv_block = copy(block(16), head.conv_block)
    classifier = nn.Sequential(copy(nn.Conv2d(16, 7, 1), head.conv_seg), nn.ReLU())
    upsample = copy(nn.ConvTranspose2d(7, 7, 32, 32), head.upsample)
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = upsample(classifier(conv_block(net.features(image))))
        torch.testing.assert_close(head(net(image)), expected)


def test_fcn8s_equals_a_transcription_of_the_print():
    net, head = backbone(), small(8).eval()
    features3, features4, features5 = net.features[:17], net.features[17:24], net.features[24:]
    fcn, score5 = copy(block(16), head.conv_block), copy(nn.Conv2d(16, 7, 1), head.conv_seg)
    score4, score3 = copy(nn.Conv2d(512, 7, 1), head.skip_scores[0]), copy(nn.Conv2d(256, 7, 1), head.skip_scores[1])
    upsample_5 = copy(nn.ConvTranspose2d(7, 7, 2, 2), head.doublings[0])
    upsample_4 = copy(nn.ConvTranspose2d(7, 7, 2, 2), head.doublings[1])
    upsample_3 = copy(nn.ConvTranspose2d(7, 7, 8, 8), head.upsample)
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        pool3 = features3(image)
        pool4 = features4(pool3)
        scores = upsample_5(score5(fcn(features5(pool4)))) + score4(pool4)
        expected = upsample_3(upsample_4(scores) + score3(pool3))
        torch.testing.assert_close(head(net(image)), expected)


@pytest.mark.parametrize('stride', [32, 16, 8, 4, 2])
@pytest.mark.parametrize('size_hw', [(70, 45), (32, 33), (1, 1)])
def test_scores_have_the_size_of_the_image(stride, size_hw):
    with torch.no_grad():
        scores = small(stride)(backbone()(torch.randn(1, 3, *size_hw)))
    assert scores.shape == (1, CLASSES, *size_hw)
    assert scores.isfinite().all()


def test_only_fcn32s_clips_negative_scores():
    top = torch.randn(1, 512, 2, 2)
    levels = [torch.zeros(1, 3, 64, 64), *(torch.zeros(1, 1, 1, 1) for _ in range(4)), top]
    clipped, free = small(32).eval(), small(32, clip_scores=False).eval()
    for head in (clipped, free):
        nn.init.constant_(head.conv_seg.weight, -1.0)
    with torch.no_grad():
        # All scores are negative: what is left is the bias of the upsampling, one value a class.
        assert clipped(levels).equal(clipped.upsample.bias.view(1, -1, 1, 1).expand(1, -1, 64, 64))
        assert free(levels).std(dim=(2, 3)).min() > 0
    assert [small(stride).clip_scores for stride in (32, 16, 8, 4, 2)] == [True, False, False, False, False]


def test_a_shift_of_the_image_by_32_pixels_shifts_the_scores():
    net, head = backbone(), small(8).eval()
    strip = torch.randn(1, 3, 32, 1056)
    with torch.no_grad():
        left, right = (head(net(part)) for part in (strip[..., :1024], strip[..., 32:]))
    # The fifth pool sees 212 pixels, the two convolutions on it 128 more: the middle knows nothing of the borders.
    torch.testing.assert_close(left[..., 384:640], right[..., 352:608], rtol=1e-4, atol=1e-5)
    assert left[..., 384:640].std() > 0


@pytest.mark.parametrize('stride', [32, 2])
def test_one_step_reaches_every_parameter(stride):
    net, head = backbone(), small(stride)
    nn.init.constant_(head.conv_seg.bias, 1.0)
    head(net(torch.randn(2, 3, 40, 72))).square().sum().backward()
    assert all(parameter.grad is not None for module in (net, head) for parameter in module.parameters())


def test_nothing_in_gives_the_biases():
    head = small(8).eval()
    levels = [torch.zeros(1, width, 64 // 2**i, 64 // 2**i) for i, width in enumerate((3, 64, 128, 256, 512, 512))]
    for name, parameter in head.named_parameters():
        if name.endswith('bias'):
            nn.init.zeros_(parameter)
    assert head(levels).abs().max() == 0


def test_strides_of_no_pool_are_refused():
    with pytest.raises(ValueError, match='stride=64: expected one of'):
        small(64)
