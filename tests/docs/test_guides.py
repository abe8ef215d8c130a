"""What a new user has in hand at the end of a guide."""

import json
import math

import pytest
import torch

pytestmark = pytest.mark.slow


@pytest.fixture
def followed(workshop):
    """Document -> the folder in which its reader has worked."""

    def follow(name: str, folder: str):
        report = workshop.follow(f'docs/{name}.md')
        assert not report.faults, report.faults
        return workshop.project.parent / folder, report

    return follow


def weights(folder, pattern: str) -> dict:
    from mmext.common.checkpoints import read_checkpoint

    (path,) = folder.glob(f'work_dirs/{pattern}')
    return read_checkpoint(path)['state_dict']


def test_own_data_set(followed):
    folder, _ = followed('own_dataset', 'my_shapes')
    assert len(list((folder / 'shapes' / 'train').iterdir())) == 48
    passport = json.loads((folder / 'passport' / 'passport.json').read_text())
    assert 'shapes_config.py' in json.dumps(passport)
    scores = next(folder.glob('work_dirs/shapes_config/*/vis_data/scalars.json')).read_text()
    assert {'IoU.ground', 'IoU.disc', 'IoU.square'} <= set(json.loads(scores.splitlines()[-1]))
    assert weights(folder, 'shapes_config/best_*.pth')['decode_head.conv_seg.weight'].shape[0] == 3


def test_own_head(followed, mmseg_scope):
    folder, _ = followed('own_head', 'my_head')
    learnt = weights(folder, 'sum_head_config/best_*.pth')
    assert learnt['decode_head.laterals.3.conv.weight'].shape == (96, 256, 1, 1)
    assert (folder / 'work_dirs' / 'sum_head_config' / 'preflight' / 'preflight.json').is_file()

    from mmseg.registry import MODELS

    settings = dict(in_channels=[4, 8], in_index=[0, 1], channels=6, num_classes=5)
    head = MODELS.build(dict(type='SumHead', **settings)).eval()
    assert head([torch.rand(2, 4, 8, 10), torch.rand(2, 8, 4, 5)]).shape == (2, 5, 8, 10)


def test_own_loss(followed, mmseg_scope):
    folder, report = followed('own_loss', 'my_loss')
    assert 'poly_loss: 0.8654\n' in report.outputs
    scores = next(folder.glob('work_dirs/poly_config/*/vis_data/scalars.json')).read_text()
    assert 'loss_poly' in scores

    from mmseg.registry import MODELS

    loss = MODELS.build(dict(type='PolyLoss', epsilon=2.0, loss_weight=0.5))
    logits, labels = torch.zeros(1, 2, 1, 2, requires_grad=True), torch.tensor([[[0, 255]]])
    assert loss(logits, labels).item() == pytest.approx(0.5 * (math.log(2) + 2 * 0.5))
    assert loss(logits, torch.full_like(labels, 255)).item() == 0
    loss(logits, labels).backward()
    assert logits.grad[..., 1].abs().sum() == 0
    assert logits.grad[0, 0, 0, 0] < 0 < logits.grad[0, 1, 0, 0]
