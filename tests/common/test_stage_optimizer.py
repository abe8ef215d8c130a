import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmext.common.loops.stage_optimizer import build_stage_schedulers, carry_state, drop_frozen


def wrapper(parameters, loss_scaler=None, kind=torch.optim.SGD) -> OptimWrapper:
    made = OptimWrapper(kind(parameters, lr=0.1))
    if loss_scaler is not None:
        made.loss_scaler = loss_scaler
    return made


@pytest.mark.parametrize('same', [True, False])
def test_loss_scale_is_handed_on_where_its_setting_is(same):
    """With the scaler of mmengine's wrapper, which itself needs a GPU."""
    old, new = (torch.amp.GradScaler('cpu', init_scale=scale) for scale in (4.0, 2.0))
    parameters = [nn.Parameter(torch.ones(1))]
    carry_state(wrapper(parameters, old), wrapper(parameters, new), same_loss_scale=same)
    assert new.get_scale() == (4.0 if same else 2.0)


def test_state_goes_by_parameter_and_by_type():
    kept, left, fresh = (nn.Parameter(torch.ones(1)) for _ in range(3))
    old = wrapper([left, kept])
    old.optimizer.state[kept] = dict(momentum_buffer=torch.tensor(1.0))
    old.optimizer.state[left] = dict(momentum_buffer=torch.tensor(2.0))
    new = wrapper([fresh, kept])
    carry_state(old, new)
    assert list(new.optimizer.state) == [kept]
    assert new.optimizer.state[kept]['momentum_buffer'] == 1
    other = wrapper([fresh, kept], kind=torch.optim.Adam)
    carry_state(old, other)
    assert not other.optimizer.state


def test_frozen_parameters_and_empty_groups_are_dropped():
    """Adagrad has a state of every parameter from the start."""
    free, frozen = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    other = nn.Parameter(torch.ones(1), requires_grad=False)
    optimizer = torch.optim.Adagrad([dict(params=[frozen]), dict(params=[free, other], lr=0.5)])
    drop_frozen(optimizer)
    assert [(group['params'], group['lr']) for group in optimizer.param_groups] == [([free], 0.5)]
    assert list(optimizer.state) == [free]


def test_schedulers_end_with_the_stage_unless_they_say_otherwise():
    settings = [
        dict(type='ExponentialLR', gamma=0.5),
        dict(type='LinearLR', by_epoch=False),
        dict(type='StepLR', step_size=1, end=1),
        dict(type='StepLR', step_size=1, convert_to_iter_based=True),
    ]
    built = build_stage_schedulers(settings, wrapper([nn.Parameter(torch.ones(1))]), epochs=3, epoch_length=4)
    assert [(scheduler.end, scheduler.by_epoch) for scheduler in built] == [
        (3, True),
        (12, False),
        (1, True),
        (12, False),
    ]
    assert build_stage_schedulers([], wrapper([nn.Parameter(torch.ones(1))]), 3, 4) == []
