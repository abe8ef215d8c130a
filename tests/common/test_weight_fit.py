"""How much of a model a checkpoint holds: counted by hand."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmext.common.weight_files import WeightsError
from mmext.common.weight_fit import check_fit, weight_fit


@pytest.fixture
def model() -> nn.Module:
    """12 + 3 + 2 numbers that count; the counter of the norm does not."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(1, affine=False))


def state(model: nn.Module, **changes: torch.Tensor | None) -> dict:
    found = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found |= {name.replace('_', '.', 1): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def test_whole(model):
    assert weight_fit(model, state(model)) == (1.0, 4, [], None)
    assert weight_fit(model, {'state_dict': state(model), 'meta': {}}) == (1.0, 4, [], None)
    assert weight_fit(model, {f'module.{name}': tensor for name, tensor in state(model).items()}).share == 1


def test_part(model):
    share, _, missing, _ = weight_fit(model, state(model, **{'0_weight': torch.zeros(3, 5)}))
    assert share == pytest.approx(5 / 17)
    assert missing == ['0.weight']


def test_counters_do_not_count(model):
    assert weight_fit(model, state(model, **{'1_num_batches_tracked': None})).share == 1


def test_nothing(model):
    assert weight_fit(model, {}).share == 0
    with pytest.raises(WeightsError, match=r'w\.pth: only 0\.0% .*\(0 of 4 tensors\) fit the model, 0\.weight for one'):
        check_fit(model, {}, 'w.pth', least_share=0)
    assert check_fit(nn.ReLU(), {}, 'w.pth') == (1.0, 0, [], None)


def test_threshold(model):
    little = {'0.weight': torch.zeros(3, 4)}
    assert check_fit(model, little, 'w.pth').share == pytest.approx(12 / 17)
    with pytest.raises(WeightsError, match=r'only 70\.6%'):
        check_fit(model, little, 'w.pth', least_share=0.71)
    assert check_fit(model, {'0.bias': torch.zeros(3)}, 'w.pth', least_share=0).share == pytest.approx(3 / 17)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_values_that_spoil_all(model, value):
    spoilt = state(model)
    spoilt['0.bias'][2] = value
    with pytest.raises(WeightsError, match=r'w\.pth: values of 0\.bias are NaN'):
        check_fit(model, spoilt, 'w.pth')
    # What the model does not have does no harm; neither do tensors that were read without their numbers.
    assert check_fit(model, state(model, other_x=torch.tensor(value)), 'w.pth').non_finite is None
    assert check_fit(model, {name: tensor.to('meta') for name, tensor in spoilt.items()}, 'w.pth').share == 1


def test_a_wrapper_is_looked_through(model):
    class Wrapper(MMDistributedDataParallel):
        def __init__(self, module: nn.Module) -> None:
            nn.Module.__init__(self)
            self.module = module

    from mmengine.registry import MODEL_WRAPPERS

    assert MMDistributedDataParallel in MODEL_WRAPPERS.module_dict.values()
    assert weight_fit(Wrapper(model), state(model)).share == 1
