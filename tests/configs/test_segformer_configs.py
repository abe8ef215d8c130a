"""The SegFormer recipes name their encoder and its weights, and follow the report's learning rate."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
LEAVES = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs/segmentation/segformer').glob('segformer_mit-*.py')
)
MIT = {'mit-b0': (32, [2, 2, 2, 2]), 'mit-b2': (64, [3, 4, 6, 3]), 'mit-b5': (64, [3, 6, 40, 3])}

pytestmark = pytest.mark.usefixtures('in_root')


def test_there_are_leaves():
    assert len(LEAVES) == 6


@pytest.mark.parametrize('leaf', LEAVES)
def test_encoder_and_weights_are_the_named_ones(leaf):
    cfg = Config.fromfile(leaf)
    backbone = cfg.model.backbone
    encoder, source = re.match(r'segformer_(mit-b\d)-(\w+)-pre', Path(leaf).stem).groups()
    assert (backbone.embed_dims, backbone.num_layers) == MIT[encoder]
    assert cfg.model.decode_head.in_channels == [backbone.embed_dims * heads for heads in backbone.num_heads]
    assert cfg.model.auxiliary_head.in_channels == cfg.model.decode_head.in_channels[2]
    if source == 'in1k':
        assert Path(backbone.init_cfg.checkpoint).stem == encoder.replace('-', '_')
        assert cfg.load_from is None
    else:
        assert backbone.init_cfg is None
        assert encoder in cfg.load_from
        assert 'cityscapes' in cfg.load_from


def test_learning_rate_follows_the_report():
    """Warm-up factor times polynomial decay to zero in the last iteration; the heads learn ten times faster."""
    import torch
    from mmengine.optim import LinearLR, PolyLR

    cfg = Config.fromfile('configs/segmentation/segformer/segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368.py')
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    kinds = {'LinearLR': LinearLR, 'PolyLR': PolyLR}
    schedulers = []
    for settings in cfg.param_scheduler:
        settings = dict(settings)
        schedulers.append(kinds[settings.pop('type')](optimizer, **settings))
    for i in range(2000):
        warmup = 1e-5 + (1 - 1e-5) * min(i / 1499, 1)
        assert optimizer.param_groups[0]['lr'] == pytest.approx(1e-5 * (1 - i / 19_999) * warmup, rel=1e-9)
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys['head'].lr_mult == 10
