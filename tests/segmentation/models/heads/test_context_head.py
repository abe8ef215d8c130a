import pytest
import torch
import torch.nn.functional as F

CLASSES = 5
CONTEXTS = ['PyramidPooling', 'AtrousPyramid', 'ObjectContext']
ON_THE_MAP_BEFORE = dict(in_channels=8, in_index=0, channels=4)


def build(context='PyramidPooling', **kwargs):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    settings = dict(
        type='ContextHead',
        context=dict(type=context) if isinstance(context, str) else context,
        in_channels=12,
        in_index=1,
        channels=6,
        num_classes=CLASSES,
        dropout_ratio=0,
        norm_cfg=dict(type='BN'),
    )
    return MODELS.build(settings | kwargs)


def features(batch=2, size=(7, 9)):
    torch.manual_seed(1)
    return [torch.randn(batch, 8, *size, requires_grad=True), torch.randn(batch, 12, *size, requires_grad=True)]


def samples(batch=2, size=(28, 36), fill=None):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    torch.manual_seed(2)
    labels = torch.randint(0, CLASSES, (batch, 1, *size)) if fill is None else torch.full((batch, 1, *size), fill)
    labels[:, :, :4] = 255
    return [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in labels], labels[:, 0]


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


@pytest.mark.parametrize('context', CONTEXTS)
def test_logits_have_the_size_of_the_features(context):
    head = build(context, auxiliary=ON_THE_MAP_BEFORE)
    for training in (True, False):
        assert head.train(training)(features()).shape == (2, CLASSES, 7, 9)


@pytest.mark.parametrize('context', CONTEXTS)
@pytest.mark.parametrize('batch', [1, 2])
def test_every_parameter_learns(context, batch):
    head = build(context, auxiliary=ON_THE_MAP_BEFORE).train()
    maps = features(batch)
    total(head.loss(maps, samples(batch)[0], {})).backward()
    assert [name for name, parameter in head.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    assert all(each.grad.abs().sum() > 0 for each in maps)


@pytest.mark.parametrize('context', CONTEXTS)
def test_losses_are_those_of_both_logits(context):
    loss_decode = [
        dict(type='ClassBalancedLoss', class_weight=[1.0, 2, 3, 4, 5]),
        dict(type='OhemBalancedLoss', thresh=0.3, min_kept=50, loss_weight=0.5),
    ]
    head = build(context, auxiliary=ON_THE_MAP_BEFORE, loss_decode=loss_decode, aux_weight=0.3).train()
    maps, (batch, labels) = features(), samples()
    losses = head.loss(maps, batch, {})
    assert set(losses) == {'loss_cb', 'loss_ohem', 'acc_seg', 'loss_aux_cb', 'loss_aux_ohem', 'acc_aux'}
    for prefix, logits, factor in (('loss_', head(maps), 1), ('loss_aux_', head.auxiliary(maps), 0.3)):
        logits = F.interpolate(logits, labels.shape[1:], mode='bilinear')
        weight = torch.arange(1.0, 6)
        expected = F.cross_entropy(logits, labels, weight, ignore_index=255)
        torch.testing.assert_close(losses[f'{prefix}cb'], factor * expected)
        nll = F.cross_entropy(logits, labels, ignore_index=255, reduction='none')[labels != 255]
        hard = nll[nll > -torch.tensor(0.3).log()]
        assert 50 < len(hard) < len(nll)
        torch.testing.assert_close(losses[f'{prefix}ohem'], factor * 0.5 * hard.mean())


def test_auxiliary_weight_zero_leaves_the_main_loss():
    head = build(auxiliary=ON_THE_MAP_BEFORE, aux_weight=0)
    losses = head.loss(features(), samples()[0], {})
    assert losses['loss_aux_ce'] == 0
    assert total(losses) == losses['loss_ce'] > 0


def test_auxiliary_losses_of_its_own():
    auxiliary = dict(ON_THE_MAP_BEFORE, loss_decode=dict(type='ClassBalancedLoss'))
    losses = build(auxiliary=auxiliary).loss(features(), samples()[0], {})
    assert {'loss_ce', 'loss_aux_cb'} == {name for name in losses if 'loss' in name}


def test_nothing_labelled_gives_zero():
    head = build('ObjectContext', loss_decode=dict(type='ClassBalancedLoss'))
    losses = head.loss(features(), samples(fill=255)[0], {})
    assert total(losses) == 0
    total(losses).backward()
    assert all(parameter.grad.abs().sum() == 0 for parameter in head.parameters())


@pytest.mark.parametrize(('context', 'calls'), [('PyramidPooling', 0), ('AtrousPyramid', 0), ('ObjectContext', 1)])
def test_auxiliary_classifier_runs_in_a_test_only_if_needed(context, calls):
    head = build(context, auxiliary=ON_THE_MAP_BEFORE).eval()
    seen = []
    head.auxiliary.register_forward_hook(lambda *args: seen.append(args))
    head.predict(features(), [dict(img_shape=(28, 36))], {})
    assert len(seen) == calls


def test_without_settings_only_regions_have_a_classifier():
    assert build('PyramidPooling').auxiliary is None
    assert 'loss_aux_ce' not in build('PyramidPooling').loss(features(), samples()[0], {})
    classifier = build('ObjectContext').auxiliary
    assert (classifier.in_index, classifier.in_channels, classifier.channels) == (1, 12, 6)


def test_regions_decide_what_a_pixel_sees():
    head = build('ObjectContext', auxiliary=ON_THE_MAP_BEFORE).eval()
    maps = features()
    before = head(maps)
    assert not torch.allclose(head([maps[0] * 2, maps[1]]), before)
    torch.nn.init.zeros_(head.auxiliary.conv_seg.weight)  # regions of equal weight everywhere
    torch.testing.assert_close(head([maps[0] * 2, maps[1]]), head(maps))


def test_context_may_differ_from_the_head():
    head = build(dict(type='PyramidPooling', channels=3, bins=(1, 4)), act_cfg=dict(type='LeakyReLU'))
    assert head.context.out_channels == head.bottleneck.in_channels == 12 + 2 * 3
    assert head.bottleneck.out_channels == 6
    for conv in (head.bottleneck, head.context.branches[0].conv):
        assert type(conv.activate).__name__ == 'LeakyReLU'
        assert type(conv.norm).__name__ == 'BatchNorm2d'


@pytest.mark.parametrize('context', CONTEXTS)
def test_in_a_plain_segmentor(context):
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 48)),
            backbone=dict(
                type='ResNet', depth=18, base_channels=4, stem_channels=4, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)
            ),
            decode_head=dict(
                type='ContextHead',
                context=dict(type=context),
                auxiliary=dict(in_channels=16, in_index=2, channels=4),
                in_channels=32,
                in_index=3,
                channels=8,
                num_classes=CLASSES,
                norm_cfg=dict(type='BN'),
            ),
        )
    ).train()
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, CLASSES, (1, 32, 48))))
    data = dict(inputs=[torch.randint(0, 256, (3, 32, 48))], data_samples=[sample])
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert {'decode.loss_ce', 'decode.loss_aux_ce', 'decode.acc_aux'} <= set(losses)
    model.parse_losses(losses)[0].backward()
    model.eval()
    assert model(torch.randn(1, 3, 32, 48), mode='tensor').shape == (1, CLASSES, 4, 6)
