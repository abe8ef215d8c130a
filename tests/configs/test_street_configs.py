"""The recipes of PSPNet, PSANet and DeepLabV3+ on Cityscapes keep to the code that their weights come from."""

import pytest
from mmengine.config import Config

SEMSEG = {
    'psp': 'configs/segmentation/pspnet/pspnet_r101-d8-in1k-pre_8xb2-200e_cityscapes-713x713.py',
    'psa': 'configs/segmentation/psanet/psanet_r101-d8-in1k-pre_8xb2-200e_cityscapes-705x705.py',
}
DEEP_LAB = 'configs/segmentation/deeplabv3plus/deeplabv3plus_mobilenet-v2-in1k-pre_1xb16-30k_cityscapes-768x768.py'

pytestmark = pytest.mark.usefixtures('in_root')


def build_schedule(cfg: Config, epoch_length: int | None = None):
    """Optimiser of one backbone and one head weight, and the config's one scheduler, per iteration."""
    import torch
    from mmengine.optim import PolyLR

    rates = []
    multipliers = {name: value['lr_mult'] for name, value in cfg.optim_wrapper.paramwise_cfg.custom_keys.items()}
    for part in ('backbone', 'decode_head'):
        factor = next((value for key, value in multipliers.items() if key in part), 1)
        rates.append(dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=factor * cfg.optim_wrapper.optimizer.lr))
    optimizer = torch.optim.SGD(rates)
    (settings,) = cfg.param_scheduler
    settings = {key: value for key, value in settings.items() if key != 'type'}
    if settings.pop('convert_to_iter_based', False):
        return optimizer, PolyLR.build_iter_from_epoch(optimizer, **settings, epoch_length=epoch_length)
    return optimizer, PolyLR(optimizer, **settings)


@pytest.mark.parametrize(('leaf', 'epoch_length'), [(SEMSEG['psp'], 5), (SEMSEG['psa'], 5), (DEEP_LAB, None)])
def test_learning_rates_of_backbone_and_head(leaf, epoch_length):
    """0.01 and 0.1, times (1 - i / last) ** 0.9, down to nothing: the same in both repositories."""
    cfg = Config.fromfile(leaf)
    optimizer, scheduler = build_schedule(cfg, epoch_length)
    last = (200 * epoch_length if epoch_length else 30_000) - 1
    for i in range(900):
        factor = (1 - i / last) ** 0.9
        rates = [group['lr'] for group in optimizer.param_groups]
        assert rates == pytest.approx([0.01 * factor, 0.1 * factor], rel=1e-4)
        optimizer.step()
        scheduler.step()
    wanted = dict(type='SGD', lr=0.1 if leaf == DEEP_LAB else 0.01, momentum=0.9, weight_decay=1e-4)
    assert cfg.optim_wrapper.optimizer == wanted


@pytest.mark.parametrize('leaf', SEMSEG.values())
def test_windows_overlap_by_a_third_and_end_on_the_grid(leaf):
    """Sides of 8 n + 1 keep corners on corners; strides are two thirds, rounded up."""
    cfg = Config.fromfile(leaf)
    (side, width), (stride, _) = cfg.model.test_cfg.crop_size, cfg.model.test_cfg.stride
    assert side == width == cfg.crop_hw[0]
    assert side % 8 == 1
    assert stride == -(-2 * side // 3)


def test_attention_reaches_every_position_of_a_crop():
    head = Config.fromfile(SEMSEG['psa']).model.decode_head
    positions = 705 // 8 + 1
    assert positions % 2 == 1
    shrunk = (positions - 1) // head.shrink_factor + 1
    assert head.mask_size == (2 * shrunk - 1, 2 * shrunk - 1) == (89, 89)


@pytest.mark.parametrize(('leaf', 'auxiliary'), [(SEMSEG['psp'], 0.4), (SEMSEG['psa'], 0.4), (DEEP_LAB, 0)])
def test_losses_are_means_over_labelled_pixels(leaf, auxiliary):
    cfg = Config.fromfile(leaf)
    head = cfg.model.get('auxiliary_head')
    assert (head.loss_decode.loss_weight if head else 0) == auxiliary
    assert cfg.model.decode_head.loss_decode.avg_non_ignore


def test_deep_lab_starts_from_the_file_of_torchvision():
    backbone = Config.fromfile(DEEP_LAB).model.backbone
    assert backbone.init_cfg.checkpoint.endswith('/mobilenet_v2-b0353104.pth')
    assert (backbone.type, backbone.output_stride) == ('FixedPaddingMobileNetV2', 16)
