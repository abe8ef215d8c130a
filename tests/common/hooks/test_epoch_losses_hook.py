import contextlib
import io
import json
import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmext.common.hooks import epoch_losses_hook
from mmext.common.hooks.epoch_losses_hook import EpochLossesHook, WeightedMeans, batch_size, learning_rates
from mmext.common.loss_names import TWO_STAGE_NAMES, loss_name


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


def test_names():
    assert loss_name('loss') == 'total'
    assert loss_name('loss_cls') == 'cls'
    assert loss_name('loss_cls', TWO_STAGE_NAMES) == 'roi_cls'
    assert loss_name('decode.loss_ce', TWO_STAGE_NAMES) == 'decode.loss_ce'
    assert loss_name('loss', dict(loss='sum')) == 'sum'


def test_means_by_hand():
    means = WeightedMeans()
    assert means.result() == {}
    means.add(dict(loss=torch.tensor(1.0, requires_grad=True), rare=4.0), 4)
    means.add(dict(loss=torch.tensor([2.5])), 2)
    assert means.result() == dict(loss=pytest.approx((4 * 1 + 2 * 2.5) / 6), rare=4.0)


def test_means_of_equal_batches_are_those_of_the_numbers():
    values = torch.rand(20, generator=torch.Generator().manual_seed(0))
    forth, back = WeightedMeans(), WeightedMeans()
    for index in range(20):
        forth.add(dict(a=values[index]), 3)
        back.add(dict(a=values[19 - index]), 7)
    assert forth.result()['a'] == pytest.approx(float(values.double().mean()), rel=1e-12)
    assert back.result()['a'] == pytest.approx(forth.result()['a'], rel=1e-12)


def test_nan_is_not_hidden():
    means = WeightedMeans()
    means.add(dict(loss=1.0), 1)
    means.add(dict(loss=float('nan')), 1)
    assert math.isnan(means.result()['loss'])


def test_processes_may_have_seen_different_losses(monkeypatch):
    other = dict(loss=(10.0, 2), rare=(3.0, 1))
    monkeypatch.setattr(epoch_losses_hook, 'all_gather_object', lambda here: [here, other])
    means = WeightedMeans()
    means.add(dict(loss=2.0), 6)
    assert means.result() == dict(loss=pytest.approx((12 + 10) / 8), rare=3.0)


@pytest.mark.parametrize(
    ('batch', 'expected'),
    [(dict(inputs=[0, 0, 0]), 3), (dict(inputs=torch.zeros(2, 3)), 2), (dict(inputs=dict(a=[0])), 1), (None, 1)],
)
def test_batch_size(batch, expected):
    assert batch_size(batch) == expected


def wrapper(*rates, initial=None):
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=rate) for rate in rates]
    for group, start in zip(groups, initial or (), strict=False):
        group['initial_lr'] = start
    return OptimWrapper(torch.optim.SGD(groups, lr=1.0))


def test_learning_rates_that_differ_in_their_start():
    assert learning_rates(wrapper(0.1)) == dict(lr=0.1)
    assert learning_rates(wrapper(0.1, 0.1, 1.0, 0.1)) == dict(lr=0.1, lr_2=1.0)
    # decayed to the same value, still two rates
    assert learning_rates(wrapper(0.5, 0.5, initial=(1.0, 2.0))) == dict(lr=0.5, lr_2=0.5)
    both = OptimWrapperDict(gen=wrapper(0.1), dis=wrapper(0.2, 0.3))
    assert learning_rates(both) == {'gen.lr': 0.1, 'dis.lr': 0.2, 'dis.lr_2': 0.3}


def test_two_losses_of_one_name_are_refused():
    hook = EpochLossesHook(names=dict(loss_a='x', loss_b='x'))
    runner = SimpleNamespace(optim_wrapper=wrapper(0.1), train_loop=None, epoch=0)
    hook.before_train_epoch(runner)
    hook.after_train_iter(runner, 0, None, dict(loss_a=1.0, loss_b=2.0))
    with pytest.raises(ValueError, match=r"names give \['loss_a', 'loss_b'\] the tags \['epoch/x'\]"):
        hook.after_train_epoch(runner)
    with pytest.raises(ValueError, match='interval=0'):
        EpochLossesHook(interval=0)


def test_registry_builds_it():
    assert HOOKS.build(dict(type='EpochLossesHook')).interval == 50


class _Losses(BaseModel):
    """Its losses are the numbers that it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples=None, mode='loss'):
        value = torch.stack(list(inputs)).mean() + 0 * self.weight
        return dict(loss_a=value, loss_b=[value, 2 * value], acc=value * 100)


@pytest.fixture
def register_model():
    MODELS.register_module(name='_Losses', module=_Losses)
    yield
    MODELS.module_dict.pop('_Losses')


def collate(numbers):
    return dict(inputs=[torch.tensor(float(number)) for number in numbers])


def run(work, loop, stop=None, resume=False):
    """Train on the numbers 0..6, two at a time; stop with an error before iteration `stop`."""

    def interrupt(runner, batch_idx, data_batch=None):
        if runner.iter == stop:
            raise KeyboardInterrupt

    by_epoch = loop['type'] != 'IterBasedTrainLoop'
    runner = Runner(
        model=dict(type='_Losses'),
        work_dir=str(work),
        train_dataloader=dict(
            dataset=range(7),
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=False),
            collate_fn=collate,
        ),
        train_cfg=loop,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
        param_scheduler=dict(type='ExponentialLR', gamma=0.5, by_epoch=by_epoch),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=2, log_metric_by_epoch=by_epoch),
            checkpoint=dict(type='CheckpointHook', interval=2 - by_epoch, by_epoch=by_epoch),
        ),
        custom_hooks=[dict(type='EpochLossesHook', names=dict(loss_b='b', acc='acc'), interval=3)],
        visualizer=dict(
            type='Visualizer',
            name=f'{work}{resume}',
            vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
        ),
        log_processor=dict(by_epoch=by_epoch),
        experiment_name=f'{work.name}{resume}',
        resume=resume,
        cfg=Config(dict()),
    )
    if stop is not None:
        runner.hooks[0].before_train_iter = interrupt
    with contextlib.suppress(KeyboardInterrupt):
        runner.train()


def means_of(work):
    """The lines that the hook wrote, of all runs in the folder."""
    rows = []
    for file in sorted(work.glob('*/vis_data/scalars.json')):
        rows += map(json.loads, file.read_text().splitlines())
    return [row for row in rows if any('/' in key for key in row)]


EPOCHS = dict(type='EpochBasedTrainLoop', max_epochs=3)


@pytest.mark.usefixtures('register_model')
def test_a_run_in_epochs_writes_them_everywhere(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / 'run', EPOCHS)
    rows = means_of(tmp_path / 'run')
    mean = sum(range(7)) / 7
    for number, row in enumerate(rows, start=1):
        expected = {'a': mean, 'b': 3 * mean, 'total': 4 * mean, 'acc': 100 * mean, 'lr': 0.5 ** (number - 1)}
        assert row == {'step': number} | {f'epoch/{key}': pytest.approx(value) for key, value in expected.items()}
    assert len(rows) == 3
    (folder,) = (tmp_path / 'run').glob('*/vis_data')
    events = EventAccumulator(str(folder))
    events.Reload()
    logged = events.Scalars('epoch/total')
    assert [event.step for event in logged] == [1, 2, 3]
    assert logged[0].value == pytest.approx(4 * mean)
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'Epoch(train) [3] means:  epoch/total: 12.0000  epoch/a: 3.0000' in log.read_text()


@pytest.mark.usefixtures('register_model')
def test_an_interrupted_epoch_counts_from_its_start(tmp_path):
    run(tmp_path / 'whole', EPOCHS)
    run(tmp_path / 'cut', EPOCHS, stop=6)
    assert [row['step'] for row in means_of(tmp_path / 'cut')] == [1]
    run(tmp_path / 'cut', EPOCHS, resume=True)
    assert [row['step'] for row in means_of(tmp_path / 'cut')] == [1, 2, 3]
    assert means_of(tmp_path / 'cut') == means_of(tmp_path / 'whole')


def test_sums_go_on_in_another_process():
    """Losses 1 and 3 of one and two images, then 5 of one: (1 + 2 * 3 + 5) / 4, whatever comes between."""
    halves = EpochLossesHook(), EpochLossesHook()
    wrapper = build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type='SGD', lr=0.5)))
    runner = SimpleNamespace(train_loop=None, optim_wrapper=wrapper)
    halves[0].before_train_epoch(runner)
    for loss, images in ((1.0, 1), (3.0, 2)):
        batch = dict(inputs=torch.zeros(images, 1))
        halves[0].after_train_iter(runner, 0, batch, dict(loss=torch.tensor(loss)))
    file = io.BytesIO()
    torch.save(halves[0].state_dict(), file)
    file.seek(0)
    halves[1].load_state_dict(torch.load(file, weights_only=True))
    halves[1].before_train_epoch(runner)
    halves[1].after_train_iter(runner, 2, dict(inputs=torch.zeros(1, 1)), dict(loss=torch.tensor(5.0)))
    assert halves[1]._means.result() == {'loss': 3.0}
    halves[1].before_train_epoch(runner)
    assert halves[1]._means.result() == {}, 'the next epoch begins anew'


@pytest.mark.usefixtures('register_model')
def test_a_run_in_iterations_has_means_of_intervals(tmp_path):
    run(tmp_path / 'run', dict(type='IterBasedTrainLoop', max_iters=7))
    rows = means_of(tmp_path / 'run')
    # the numbers again and again: 01 23 45 | 60 12 34 | 56
    assert [row['step'] for row in rows] == [3, 6, 7]
    assert [row['interval/a'] for row in rows] == pytest.approx([15 / 6, 16 / 6, 11 / 2])
    assert [row['interval/lr'] for row in rows] == pytest.approx([0.5**2, 0.5**5, 0.5**6])
