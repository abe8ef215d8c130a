"""What counts as loaded: tensors equal to those of a file, under their own name or by their values."""

import hashlib
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel, BaseModule
from torch import nn

from mmext.common.initialisation import InitialisationProof, WeightSource, find_sources, inspect_initialisation


class Stem(BaseModule):
    """63 values in parameters: 2 x 3 x 3 x 3 = 54, 2 + 2 of the norm, 2 x 2 + 1 of the rest."""

    def __init__(self, init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(3, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.scale = nn.Parameter(torch.arange(5.0))


class Net(BaseModel):
    def __init__(self, init_cfg=None, stem=None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.backbone = Stem(stem)
        self.head = nn.Linear(2, 2)

    def forward(self, *args, **kwargs):
        raise NotImplementedError


def weights(prefix: str = '', seed: int = 0) -> dict[str, torch.Tensor]:
    """Of a trained `Stem`: no tensor has one value only."""
    generator = torch.Generator().manual_seed(seed)
    return {
        prefix + name: tensor if tensor.ndim == 0 else torch.rand(tensor.shape, generator=generator)
        for name, tensor in Stem().state_dict().items()
    }


def save(path: Path, content: dict) -> str:
    torch.save({'state_dict': content}, path)
    return str(path)


def prove(model: nn.Module, load_from: str | None = None) -> InitialisationProof:
    """After an initialisation as a Runner does it."""
    from mmengine.runner import load_checkpoint

    model.init_weights()
    if load_from:
        load_checkpoint(model, load_from)
    return inspect_initialisation(model, find_sources(model, load_from))


def statuses(proof: InitialisationProof) -> dict[str, str]:
    return {tensor.name: tensor.status for tensor in proof.tensors}


def test_all_of_a_backbone(tmp_path):
    path = save(tmp_path / 'w.pth', weights())
    proof = prove(Net(stem=dict(type='Pretrained', checkpoint=path)))
    assert statuses(proof) == {
        'backbone.scale': 'loaded',
        'backbone.conv.weight': 'loaded',
        'backbone.norm.weight': 'loaded',
        'backbone.norm.bias': 'loaded',
        'backbone.norm.running_mean': 'loaded',
        'backbone.norm.running_var': 'loaded',
        'head.weight': 'random',
        'head.bias': 'random',
    }
    assert proof.module('backbone').share == 1
    assert proof.module('').share == 63 / 69
    (file,) = proof.files
    assert file.sha256 == hashlib.sha256((tmp_path / 'w.pth').read_bytes()).hexdigest()
    assert [(use.module, use.prefix, use.origin, use.idle) for use in file.uses] == [
        ('backbone', '', 'init_cfg', False)
    ]
    assert proof.unexpected(file) == []


def test_nothing_to_load():
    proof = prove(Net())
    assert set(statuses(proof).values()) == {'random'}
    assert proof.files == []
    assert proof.module('').share == 0


def test_each_way_of_not_being_loaded(tmp_path):
    content = weights()
    del content['norm.bias']
    content['conv.weight'] = content['conv.weight'][..., :2]
    content['fc.weight'] = torch.rand(7)
    model = Net(stem=dict(type='Pretrained', checkpoint=save(tmp_path / 'w.pth', content)))
    model.init_weights()
    with torch.no_grad():
        model.backbone.scale[0] += 1e-6
    proof = inspect_initialisation(model, find_sources(model))
    found = {name: status for name, status in statuses(proof).items() if status not in ('loaded', 'random')}
    assert found == {'backbone.norm.bias': 'missing', 'backbone.conv.weight': 'shape', 'backbone.scale': 'changed'}
    by_name = {tensor.name: tensor for tensor in proof.tensors}
    assert by_name['backbone.conv.weight'].file_shape == (2, 3, 3, 2)
    assert proof.unexpected(proof.files[0]) == ['fc.weight']
    assert proof.module('backbone').share == 2 / 63  # the weight of the norm


def test_a_wrong_prefix_is_seen_although_mmengine_only_warns(tmp_path):
    path = save(tmp_path / 'w.pth', weights('backbone.'))
    proof = prove(Net(stem=dict(type='Pretrained', checkpoint=path)))
    assert proof.module('backbone').not_loaded == {'missing': 6}
    assert proof.files[0].uses[0].idle


def test_a_module_without_weights_cannot_be_filled(tmp_path):
    model = nn.ModuleDict({'pool': nn.Identity(), 'stem': Stem()})
    proof = inspect_initialisation(model, [WeightSource(save(tmp_path / 'w.pth', weights()), 'pool')])
    assert not proof.files[0].uses[0].idle


def test_a_prefix_takes_a_part_of_the_file(tmp_path):
    path = save(tmp_path / 'w.pth', weights('backbone.') | {'head.weight': torch.rand(2, 2)})
    for prefix in ('backbone', 'backbone.'):
        proof = prove(Net(stem=dict(type='Pretrained', checkpoint=path, prefix=prefix)))
        assert proof.module('backbone').share == 1
        assert proof.unexpected(proof.files[0]) == []
        assert proof.other_names(proof.files[0]) == ['head.weight']


def test_two_modules_share_a_file_and_what_neither_needs_is_unexpected(tmp_path):
    model = nn.ModuleDict({'one': Stem(), 'two': Stem()})
    model['two'].extra = nn.Linear(2, 2)
    content = weights() | {'extra.weight': torch.rand(2, 2), 'extra.bias': torch.rand(2), 'fc': torch.rand(3)}
    address = save(tmp_path / 'w.pth', content)
    for part in model.values():
        part.load_state_dict(content, strict=False)
    proof = inspect_initialisation(model, [WeightSource(address, 'one'), WeightSource(address, 'two')])
    assert proof.module('').share == 1
    assert len(proof.files) == 1
    assert proof.unexpected(proof.files[0]) == ['fc']


def test_the_last_file_is_the_source_and_an_earlier_one_where_it_has_nothing(tmp_path):
    first = save(tmp_path / 'first.pth', weights(seed=1))
    last = weights('module.backbone.', seed=2)
    del last['module.backbone.scale']
    last = save(tmp_path / 'last.pth', last | {'epoch': torch.tensor(3)})  # not all names have the prefix
    proof = prove(Net(stem=dict(type='Pretrained', checkpoint=first)), last)
    sources = {tensor.name: Path(tensor.file.path).stem for tensor in proof.tensors if tensor.status == 'loaded'}
    assert sources.pop('backbone.scale') == 'first'
    assert set(sources.values()) == {'last'}
    assert len(sources) == 5
    assert proof.to_dict()['renamed'] == []
    assert [proof.unexpected(file) for file in proof.files] == [[], ['epoch']]
    assert not any(use.idle for file in proof.files for use in file.uses)


def test_of_equal_files_the_last_is_the_source(tmp_path):
    first, last = save(tmp_path / 'first.pth', weights()), save(tmp_path / 'last.pth', weights('backbone.'))
    proof = prove(Net(stem=dict(type='Pretrained', checkpoint=first)), last)
    assert {tensor.file.address for tensor in proof.tensors if tensor.status == 'loaded'} == {last}


def test_a_source_covers_its_module_and_none_of_a_longer_name(tmp_path):
    model = nn.ModuleDict({'layer1': Stem(), 'layer10': Stem()})
    proof = inspect_initialisation(model, [WeightSource(save(tmp_path / 'w.pth', {'a': torch.ones(1)}), 'layer1')])
    assert proof.module('layer1').not_loaded == {'missing': 6}
    assert proof.module('layer10').not_loaded == {'random': 6}


def test_a_module_that_stands_for_its_children_overwrites_them(tmp_path):
    inner, outer = save(tmp_path / 'in.pth', weights(seed=1)), save(tmp_path / 'out.pth', weights('backbone.', seed=2))
    proof = prove(Net(dict(type='Pretrained', checkpoint=outer), dict(type='Pretrained', checkpoint=inner)))
    assert {tensor.file.address for tensor in proof.tensors if tensor.status == 'loaded'} == {outer}


def test_renamed_and_transposed_tensors_count(tmp_path):
    """As backbones do that convert the weights of another repository while they load them."""
    content = weights()
    address = save(tmp_path / 'w.pth', content)
    stem = Stem()
    stem.load_state_dict(content)
    net = nn.Module()
    net.first = nn.Conv2d(3, 2, 3, bias=False)
    net.norm = stem.norm
    net.other = nn.Parameter(content['scale'].flip(0))
    with torch.no_grad():
        net.first.weight.copy_(content['conv.weight'].transpose(2, 3))
    proof = inspect_initialisation(net, [WeightSource(address)])
    assert set(statuses(proof).values()) == {'loaded'}
    assert [entry['file_name'] for entry in proof.to_dict()['renamed']] == ['scale', 'conv.weight']
    assert proof.unexpected(proof.files[0]) == []


def test_equal_tensors_of_a_file_are_found_one_by_one(tmp_path):
    """Tables of positions, which every block has."""
    net = nn.Module()
    for name in ('one', 'two'):
        net.register_buffer(name, torch.arange(6))
    address = save(tmp_path / 'w.pth', {'block1.index': torch.arange(6), 'block2.index': torch.arange(6)})
    proof = inspect_initialisation(net, [WeightSource(address)])
    assert [tensor.file_name for tensor in proof.tensors] == ['block1.index', 'block2.index']
    assert proof.unexpected(proof.files[0]) == []


def test_equal_constants_of_another_name_are_no_proof(tmp_path):
    net = nn.BatchNorm2d(2)
    content = {'other.weight': torch.ones(2), 'other.bias': torch.zeros(2)}
    proof = inspect_initialisation(net, [WeightSource(save(tmp_path / 'w.pth', content))])
    assert set(statuses(proof).values()) == {'missing'}


def test_fresh_constants_do_not_hide_that_nothing_was_loaded(tmp_path):
    """The file holds a scale of ones, which every model has before anything is loaded."""
    content = weights() | {'norm.weight': torch.ones(2)}
    proof = inspect_initialisation(Stem(), [WeightSource(save(tmp_path / 'w.pth', content))])
    assert statuses(proof)['norm.weight'] == 'loaded'
    assert statuses(proof)['conv.weight'] == 'changed'
    assert proof.files[0].uses[0].idle


def test_half_precision_files(tmp_path):
    content = {name: tensor.half() for name, tensor in weights().items()}
    proof = prove(Net(stem=dict(type='Pretrained', checkpoint=save(tmp_path / 'w.pth', content))))
    assert proof.module('backbone').share == 1


def test_not_a_number_equals_itself(tmp_path):
    content = weights() | {'scale': torch.full((5,), float('nan'))}
    proof = prove(Net(stem=dict(type='Pretrained', checkpoint=save(tmp_path / 'w.pth', content))))
    assert statuses(proof)['backbone.scale'] == 'loaded'


def test_any_change_of_any_tensor_is_found(tmp_path):
    content = weights()
    address = save(tmp_path / 'w.pth', content)
    for name in content:
        stem = Stem()
        stem.load_state_dict(content)
        state = stem.state_dict()
        state[name].view(-1)[-1] += 1
        found = statuses(inspect_initialisation(stem, [WeightSource(address)]))
        expected = [] if name == 'norm.num_batches_tracked' else [name]
        assert [other for other, status in found.items() if status != 'loaded'] == expected


def test_a_file_that_is_gone_or_damaged_proves_nothing(tmp_path):
    (tmp_path / 'bad.pth').write_bytes(b'PK nonsense')
    for name, message in (('gone.pth', 'no such file'), ('bad.pth', 'truncated or damaged')):
        address = str(tmp_path / name)
        proof = inspect_initialisation(Stem(), [WeightSource(address)])
        assert set(statuses(proof).values()) == {'unproven'}
        assert message in proof.files[0].error
        assert bool(proof.files[0].sha256) == (name == 'bad.pth')


@pytest.mark.parametrize('mode', [True, False])
def test_what_is_frozen(mode):
    """No gradient, or statistics of a batch norm in evaluation mode."""
    stem = Stem()
    stem.train(mode)
    stem.conv.requires_grad_(False)
    frozen = {tensor.name for tensor in inspect_initialisation(stem, []).tensors if tensor.frozen}
    assert frozen == {'conv.weight'} | (set() if mode else {'norm.running_mean', 'norm.running_var'})


def test_the_teacher_of_a_distiller_is_shown(tmp_path):
    net = Net()
    net.teacher_checkpoint = save(tmp_path / 'teacher.pth', weights())
    net.__dict__['teacher'] = Stem().requires_grad_(False).eval()
    net.teacher.load_state_dict(weights())
    proof = inspect_initialisation(net, find_sources(net))
    assert proof.module('teacher').share == 1
    assert proof.files[0].uses[0].origin == 'teacher_checkpoint'
    assert proof.module('').to_dict()['frozen'] == 63
