import copy

import pytest
import torch
from torch import nn

from mmext.common.freezing import Freezer, find_parts


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict(
            dict(
                layer1=nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)),
                layer10=nn.Linear(4, 4),
            )
        )
        self.scale = nn.Parameter(torch.ones(4))
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.scale * self.backbone['layer10'](self.backbone['layer1'](inputs)))


def trained(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def in_training(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if module.training}


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.randn(8, 3)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_names_are_whole_names():
    net = Net()
    freezer = Freezer(net)
    freezer.freeze(['backbone.layer1'])
    assert trained(net) == ['scale', 'backbone.layer10.weight', 'backbone.layer10.bias', 'head.weight', 'head.bias']
    assert 'backbone.layer10' in in_training(net)
    assert not {name for name in in_training(net) if name.startswith('backbone.layer1') and name[-1] != '0'}


def test_a_single_parameter_can_be_named():
    net = Net()
    Freezer(net).freeze(['scale', 'head.bias'])
    assert 'scale' not in trained(net)
    assert 'head.bias' not in trained(net)
    assert 'head.weight' in trained(net)


def test_parts_come_once():
    net = Net()
    modules, parameters = find_parts(net, ['backbone', 'backbone.layer10', 'backbone.layer10.bias'])
    assert modules == [net.backbone, net.backbone['layer10']]
    assert [id(parameter) for parameter in parameters] == [id(parameter) for parameter in net.backbone.parameters()]


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('bacbone', 'backbone'),
        ('backbone.layer2', r'backbone\.layer1'),
        ('module.head', 'head'),
        ('', 'backbone, head'),
        ('xyz', 'backbone, head'),
    ],
)
def test_unknown_name_gives_similar_ones(name, hint):
    with pytest.raises(ValueError, match=rf'{name!r}: Net has no module of that name; did you mean .*{hint}'):
        find_parts(Net(), [name])


def test_nothing_left_to_train():
    net = Net()
    net.scale.requires_grad_(False)
    with pytest.raises(ValueError, match=r"'backbone', 'head'.*no trainable parameter of Net is left"):
        Freezer(net).freeze(['backbone', 'head'])


@pytest.mark.parametrize('optimizer', [torch.optim.SGD, torch.optim.AdamW])
def test_frozen_values_do_not_move_by_a_bit(optimizer):
    """Not by weight decay, nor by momentum of earlier steps, nor by a gradient that is left from before."""
    net = Net()
    settings = dict(momentum=0.9) if optimizer is torch.optim.SGD else {}
    optimizer = optimizer(net.parameters(), lr=0.1, weight_decay=0.1, **settings)
    freezer = Freezer(net)
    freezer.freeze([])
    step(net, optimizer)
    net(torch.randn(8, 3)).sum().backward()
    freezer.freeze(['backbone'])
    before = copy.deepcopy(net.state_dict())
    for _ in range(3):
        net.train()
        freezer.hold()
        step(net, optimizer)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith('backbone'), name
    freezer.freeze([])
    step(net, optimizer)
    for name, value in net.state_dict().items():
        assert not torch.equal(value, before[name]), name


def test_holding_survives_a_model_that_stirs():
    class Stirring(Net):
        def train(self, mode: bool = True) -> nn.Module:
            self.requires_grad_(True)
            return super().train(mode)

    net = Stirring()
    freezer = Freezer(net)
    freezer.freeze(['head'])
    net.train()
    assert net.head.training
    assert net.head.weight.requires_grad
    freezer.hold()
    assert not net.head.training
    assert not net.head.weight.requires_grad
    assert net.backbone.training


@pytest.mark.parametrize('when', ['built', 'train', 'init_weights'])
def test_what_the_model_froze_stays_frozen(when):
    class Own(Net):
        def train(self, mode: bool = True) -> nn.Module:
            super().train(mode)
            if when == 'train':
                self.backbone['layer10'].requires_grad_(False)
            return self

    net = Own()
    if when == 'built':
        net.backbone['layer10'].requires_grad_(False)
    freezer = Freezer(net)
    freezer.freeze(['head'])
    if when == 'init_weights':
        net.backbone['layer10'].requires_grad_(False)
    for names in (['backbone.layer1'], ['backbone'], []):
        freezer.freeze(names)
        assert not net.backbone['layer10'].weight.requires_grad
    assert net.head.weight.requires_grad


def test_a_shared_parameter_is_frozen():
    net = Net()
    net.head.weight = net.tied = nn.Parameter(torch.ones(2, 4))
    Freezer(net).freeze(['head'])
    assert 'tied' not in trained(net)


def test_counts_add_up():
    net = Net()
    freezer = Freezer(net)
    freezer.freeze([])
    total = 3 * 4 + 4 + 4 + 4 + 4 * 4 + 4 + 4 + 4 * 2 + 2
    assert freezer.count() == (total, 0)
    freezer.freeze(['head'])
    assert freezer.count() == (total - 10, 10)
