"""Which files a model is initialised from, where they are, and what can be read of them without running it."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModule, PretrainedInit
from torch import nn

from mmext.common.initialisation import WeightSource, find_sources
from mmext.common.initialisation.sources import local_file
from mmext.common.weight_files import WeightsError, read_state_dict


class Part(BaseModule):
    def __init__(self, init_cfg=None, **children) -> None:
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(1, 1, 1)
        for name, child in children.items():
            setattr(self, name, child)


def pretrained(checkpoint: str, **settings) -> dict:
    return dict(type='Pretrained', checkpoint=checkpoint, **settings)


def test_sources_are_found_at_any_depth_and_in_the_order_of_loading():
    inner = Part(pretrained('inner.pth', prefix='a.b'))
    model = Part(
        [dict(type='Normal', layer='Conv2d', override=pretrained('conv.pth', name='conv')), pretrained('all.pth')],
        plain=nn.Sequential(nn.Identity(), Part(None, inner=inner)),
    )
    assert find_sources(model, 'from.pth') == [
        WeightSource('inner.pth', 'plain.1.inner', 'a.b.'),
        WeightSource('conv.pth', 'conv'),
        WeightSource('all.pth'),
        WeightSource('from.pth', origin='load_from'),
    ]
    assert find_sources(model, 'from.pth', resume=True)[-1].origin == 'resume'


def test_other_initialisations_are_no_sources():
    assert find_sources(Part(dict(type='Kaiming', layer='Conv2d'))) == []
    assert find_sources(nn.Conv2d(1, 1, 1)) == []


def test_a_type_may_be_given_as_a_class():
    assert find_sources(Part(dict(type=PretrainedInit, checkpoint='w.pth'))) == [WeightSource('w.pth')]


def test_mmengine_cuts_a_prefix_off_some_addresses():
    assert find_sources(Part(pretrained('mmcls://resnet50')))[0].prefix == 'backbone.'


@pytest.mark.parametrize(
    ('address', 'name'),
    [
        ('torchvision://resnet50', 'resnet50-0676ba61.pth'),
        ('https://example.org/some/w-1.pth?raw=1', 'w-1.pth'),
        ('open-mmlab://detectron2/resnet50_caffe', 'resnet50_msra-5891d200.pth'),
    ],
)
def test_downloads_are_looked_for_where_mmengine_keeps_them(address, name, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    assert local_file(address) == tmp_path / 'hub' / 'checkpoints' / name


def test_local_paths_are_taken_as_they_are(monkeypatch):
    monkeypatch.setenv('HOME', '/home/some')
    assert local_file('a/w.pth') == Path('a/w.pth')
    assert local_file('~/w.pth') == Path('/home/some/w.pth')


@pytest.mark.parametrize('address', ['torchvision://resnet5', 's3://bucket/w.pth'])
def test_unknown_addresses(address):
    with pytest.raises(WeightsError, match='Fix: '):
        local_file(address)


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return exec, (f'open({str(self.path)!r}, "w").write("ran")',)


def test_a_checkpoint_with_the_log_of_a_training(tmp_path):
    """As mmengine saves it, with histories of NumPy arrays."""
    hub = MessageHub('reading a checkpoint')
    hub.update_scalar('train/loss', 1.5)
    hub.update_info('array', np.arange(3))
    weights = OrderedDict(a=torch.rand(2, 3), b=torch.tensor(4))
    state = hub.state_dict()
    torch.save(dict(meta=dict(epoch=1), state_dict=weights, message_hub=state, extra={1, 2}), tmp_path / 'w.pth')
    read = read_state_dict(tmp_path / 'w.pth')
    assert list(read) == ['a', 'b']
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_nothing_in_a_file_is_run(tmp_path):
    trace = tmp_path / 'trace'
    torch.save(dict(state_dict=dict(a=torch.ones(2)), bad=Attack(trace)), tmp_path / 'w.pth')
    with pytest.raises(WeightsError, match=r'w\.pth: refused, .*exec'):
        read_state_dict(tmp_path / 'w.pth')
    assert not trace.exists()


def test_files_of_other_tools_are_unwrapped(tmp_path):
    torch.save(dict(model=dict(a=torch.ones(2)), epoch=3), tmp_path / 'w.pth')
    assert list(read_state_dict(tmp_path / 'w.pth')) == ['a']


def test_what_cannot_be_read_is_refused(tmp_path):
    torch.save(dict(epoch=3), tmp_path / 'none.pth')
    with pytest.raises(WeightsError, match='holds no tensors'):
        read_state_dict(tmp_path / 'none.pth')
    with pytest.raises(WeightsError, match='no such file'):
        read_state_dict(tmp_path / 'gone.pth')
