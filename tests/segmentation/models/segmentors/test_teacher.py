"""The teacher's checkpoint: read safely, whole, and named when it does not fit."""

import pytest
import torch
from torch import nn

from mmext.common.checkpoints import CheckpointError
from mmext.segmentation.models.segmentors.teacher import load_whole


class Attack:
    """Unpickling it makes a file."""

    def __init__(self, canary) -> None:
        self.canary = canary

    def __reduce__(self):
        return exec, (f'open({str(self.canary)!r}, "w").close()',)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_weights_are_loaded(tmp_path, prefix):
    source, target = nn.Linear(2, 1), nn.Linear(2, 1)
    torch.save({'state_dict': source.state_dict(prefix=prefix), 'meta': {}}, tmp_path / 'w.pth')
    load_whole(target, str(tmp_path / 'w.pth'))
    assert torch.equal(target.weight, source.weight)


def test_hostile_checkpoint_does_not_run(tmp_path):
    canary = tmp_path / 'canary'
    torch.save({'state_dict': nn.Linear(2, 1).state_dict(), 'extra': Attack(canary)}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=r'w\.pth: refused, .*exec'):
        load_whole(nn.Linear(2, 1), str(tmp_path / 'w.pth'))
    assert not canary.exists()
    torch.load(tmp_path / 'w.pth', weights_only=False)
    assert canary.exists()


def test_another_model(tmp_path):
    torch.save(nn.Linear(2, 1, bias=False).state_dict(), tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r'w\.pth: does not fit .* 1 tensors are missing, first bias'):
        load_whole(nn.Linear(2, 1), str(tmp_path / 'w.pth'))
