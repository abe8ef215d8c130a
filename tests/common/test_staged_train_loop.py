import importlib.util
import multiprocessing
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

HEAD = ['norm.weight', 'norm.bias', 'head.weight', 'head.bias']
BACKBONE = [f'backbone.{name}' for name in ('layer1.0', 'layer1.1', 'layer10')]


@pytest.fixture(scope='session')
def toy() -> ModuleType:
    """The tiny training beside this file; imported once a process, because it registers classes."""
    if 'staged_toy' not in sys.modules:
        spec = importlib.util.spec_from_file_location('staged_toy', Path(__file__).with_name('staged_toy.py'))
        sys.modules['staged_toy'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules['staged_toy'])
    return sys.modules['staged_toy']


@pytest.fixture(scope='module')
def run(toy, tmp_path_factory) -> SimpleNamespace:
    """Both stages, with a checkpoint after every epoch."""
    folder = tmp_path_factory.mktemp('run')
    runner = toy.build(folder)
    runner.train()
    states = [torch.load(folder / f'epoch_{epoch}.pth', weights_only=False) for epoch in range(1, 6)]
    return SimpleNamespace(runner=runner, lines=toy.records(folder), states=states)


def test_learning_rate_decays_within_a_stage_and_starts_again_with_the_next(run):
    expected = [0.1] * 3 + [0.05] * 3 + [0.02] * 6 + [0.018] * 6 + [0.0162] * 6
    assert [line['lr'] for line in run.lines] == [[pytest.approx(lr, rel=1e-12)] for lr in expected]


def test_epochs_iterations_and_batches_count_through(run):
    assert (run.runner.max_epochs, run.runner.max_iters, run.runner.epoch, run.runner.iter) == (5, 24, 5, 24)
    assert [line['iter'] for line in run.lines] == list(range(24))
    assert [line['epoch'] for line in run.lines] == [0] * 3 + [1] * 3 + [2] * 6 + [3] * 6 + [4] * 6
    assert [len(line['index']) for line in run.lines] == [4] * 6 + [2] * 18
    assert [line['stage'] for line in run.lines] == [1] * 6 + [2] * 18
    for epoch in range(5):
        seen = [index for line in run.lines if line['epoch'] == epoch for index in line['index']]
        assert sorted(seen) == list(range(12))


def test_only_what_is_free_is_trained(run):
    for line in run.lines:
        assert set(line['trained']) >= set(HEAD)
        assert ('backbone.layer1.0.weight' in line['trained']) == (line['stage'] == 2)
        assert 'backbone.stem.weight' not in line['trained']


def test_frozen_values_stay_and_thawed_ones_move(toy, run):
    """Weight decay is on: it would move any parameter that the optimiser sees."""
    initial = toy.ToyNet()
    initial.init_weights()
    states = [initial.state_dict(), *(state['state_dict'] for state in run.states)]
    for name in states[0]:
        moves = [not torch.equal(one[name], two[name]) for one, two in pairwise(states)]
        if 'stem' in name:
            assert moves == [False] * 5, 'the model froze it itself'
        else:
            assert moves == ([False] * 2 if name.startswith('backbone') else [True] * 2) + [True] * 3, name
    assert 'backbone.layer1.1.running_mean' in states[0]


def test_frozen_modules_evaluate_and_thawed_ones_train(toy, tmp_path):
    seen = []

    class Modes(Hook):
        """Also stirs up the model within the epoch, as a hook that computes losses would."""

        def before_train_epoch(self, runner) -> None:
            runner.model.eval()

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
            backbone = runner.model.backbone
            seen.append((backbone.layer1[1].training, backbone.drop.training, backbone.stem.training))
            runner.model.train()

    runner = toy.build(tmp_path)
    runner.register_hook(Modes())
    runner.train()
    assert seen == [(False, False, False)] * 6 + [(True, True, False)] * 18


def test_equals_a_training_written_out(toy, run):
    """Independent implementation: SGD with momentum and weight decay by hand, in the order of the run's samples."""
    model, data, momenta = toy.ToyNet(), toy.ToyPoints(), {}
    model.init_weights()
    for line in run.lines:
        model.train()
        names = HEAD + [f'{part}.{kind}' for part in BACKBONE for kind in ('weight', 'bias')] * (line['stage'] == 2)
        if line['stage'] == 1:
            model.backbone.eval()
        index = torch.tensor(line['index'])
        parameters = dict(model.named_parameters())
        loss = model(data.inputs[index], index % 3, index, mode='loss')['loss']
        gradients = torch.autograd.grad(loss, [parameters[name] for name in names])
        lr = (0.1 * 0.5 ** line['epoch']) if line['stage'] == 1 else 0.02 * 0.9 ** (line['epoch'] - 2)
        for name, gradient in zip(names, gradients, strict=True):
            gradient = gradient + 0.1 * parameters[name].data
            momenta[name] = 0.9 * momenta[name] + gradient if name in momenta else gradient
            parameters[name].data -= lr * momenta[name]
    for name, value in run.runner.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-4, atol=1e-5)


def adam(**settings) -> dict:
    return dict(optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.1), **settings)


def steps(runner) -> dict[str, int]:
    """Optimiser's steps of each parameter, as Adam counts them."""
    state = runner.optim_wrapper.optimizer.state
    return {name: int(state[p]['step']) for name, p in runner.model.named_parameters() if p in state}


def test_state_of_the_optimiser_survives_and_new_parameters_start_clean(toy, tmp_path):
    runner = toy.build(tmp_path, optim_wrapper=adam(_delete_=True))
    runner.train()
    assert steps(runner)['head.weight'] == 24
    assert steps(runner)['backbone.layer10.weight'] == 18
    assert 'backbone.stem.weight' not in steps(runner)
    assert [line['state'] for line in toy.records(tmp_path)][5:8] == [4, 4, 10]


def test_parameters_that_were_frozen_in_between_start_clean(toy, tmp_path):
    stages = [dict(epochs=1), dict(epochs=1, freeze=['backbone']), dict(epochs=1, freeze=['head'])]
    runner = toy.build(tmp_path, stages, optim_wrapper=adam(_delete_=True))
    runner.train()
    assert {name: steps(runner)[name] for name in ('norm.weight', 'backbone.layer10.weight')} == {
        'norm.weight': 9,
        'backbone.layer10.weight': 3,
    }
    states = [torch.load(tmp_path / f'epoch_{epoch}.pth', weights_only=False)['state_dict'] for epoch in (1, 2, 3)]
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]) == name.startswith('backbone'), name
        assert torch.equal(states[1][name], states[2][name]) == ('stem' in name or name.startswith('head')), name


def test_another_optimiser_starts_clean_with_its_own_arguments(toy, tmp_path):
    stages = [
        dict(epochs=1, lr=0.1),
        dict(epochs=1, lr=0.01, optim_wrapper=adam(clip_grad=dict(max_norm=1.0))),
    ]
    del stages[1]['optim_wrapper']['optimizer']['lr']
    runner = toy.build(tmp_path, stages)
    runner.train()
    assert set(steps(runner).values()) == {3}
    assert runner.optim_wrapper.clip_grad_kwargs == {'max_norm': 1.0}
    assert runner.optim_wrapper.optimizer.defaults['lr'] == 0.01


def test_groups_keep_their_ratios(toy, tmp_path):
    keys = {'head': dict(lr_mult=10.0)}
    paramwise = dict(custom_keys=keys, norm_decay_mult=0.0)
    runner = toy.build(tmp_path, **{'optim_wrapper.paramwise_cfg': paramwise})
    runner.train()
    seen = {(line['stage'], line['epoch']): line['lr'] for line in toy.records(tmp_path)}
    assert seen[1, 1] == pytest.approx([0.05, 0.05, 0.5, 0.5], rel=1e-12)
    assert sorted(seen[2, 4]) == pytest.approx([0.0162] * 8 + [0.162] * 2, rel=1e-12)
    names = {id(parameter): name for name, parameter in runner.model.named_parameters()}
    decays = {names[id(g['params'][0])]: g['weight_decay'] for g in runner.optim_wrapper.optimizer.param_groups}
    assert decays['norm.weight'] == decays['backbone.layer1.1.bias'] == 0
    assert decays['backbone.layer10.weight'] == 0.1


def test_schedulers_run_in_the_time_of_the_stage(toy, tmp_path):
    warm_up = dict(type='LinearLR', start_factor=0.5, by_epoch=False, end=3)
    stages = [
        dict(epochs=2, lr=1.0, param_scheduler=dict(type='PolyLR', power=1.0)),
        dict(epochs=2, lr=1.0, param_scheduler=[warm_up, dict(type='MultiStepLR', milestones=[1], gamma=0.1)]),
        dict(epochs=1, lr=1.0, param_scheduler=[dict(type='PolyLR', power=1.0, convert_to_iter_based=True)]),
        dict(epochs=1, lr=1.0),
    ]
    toy.build(tmp_path, stages).train()
    found = [line['lr'][0] for line in toy.records(tmp_path)]
    # mmengine's polynomial arrives at zero with the last epoch or iteration.
    assert found == pytest.approx([1, 1, 1, 0, 0, 0, 0.5, 0.75, 1, 0.1, 0.1, 0.1, 1, 0.5, 0, 1, 1, 1])


def test_accumulated_gradients_do_not_leak_into_the_next_stage(toy, tmp_path):
    wrapper = adam(_delete_=True, accumulative_counts=4)
    runner = toy.build(tmp_path, optim_wrapper=wrapper)
    runner.train()
    # Stage 1 updates after its iterations 4 and 6, stage 2 after 4, 8, 12, 16 and 18.
    assert steps(runner)['head.weight'] == 2 + 5
    assert steps(runner)['backbone.layer10.weight'] == 5


def test_dataset_is_built_once_and_workers_end_with_their_stage(toy, tmp_path):
    counts = set()

    class Workers(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
            counts.add(len(multiprocessing.active_children()))

    before = toy.ToyPoints.built
    changes = {'train_dataloader.num_workers': 1, 'train_dataloader.persistent_workers': True}
    runner = toy.build(tmp_path, **changes)
    runner.register_hook(Workers())
    alive = len(multiprocessing.active_children())
    runner.train()
    assert toy.ToyPoints.built == before + 1
    assert counts == {alive + 1}
    runner.train_loop.dataloader._iterator = None  # ends the workers of the last stage
    assert len(multiprocessing.active_children()) == alive


def test_averaged_weights_go_through_the_stages(toy, tmp_path):
    """EMA of what stands still stands still; the hook keeps its model, whatever happens around it."""
    changes = dict(custom_hooks=[dict(type='EMAHook', momentum=0.5)])
    runner = toy.build(tmp_path, **changes)
    runner.train()
    states = [torch.load(tmp_path / f'epoch_{epoch}.pth', weights_only=False)['state_dict'] for epoch in (1, 2, 5)]
    name = 'backbone.layer10.weight'
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[1][name], states[2][name])


def test_without_any_key_but_epochs_it_is_the_plain_loop(toy, tmp_path):
    weights = []
    for name, train_cfg in [
        ('plain', dict(_delete_=True, by_epoch=True, max_epochs=3)),
        ('staged', dict(_delete_=True, type='StagedTrainLoop', stages=[dict(epochs=1), dict(epochs=2)])),
    ]:
        changes = {'optim_wrapper.optimizer.lr': 0.1, 'custom_hooks': []}
        runner = toy.build(tmp_path / name, train_cfg=train_cfg, **changes)
        runner.train()
        weights.append(runner.model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_validation_follows_the_epochs_of_the_run(toy, tmp_path):
    from mmengine.evaluator import BaseMetric
    from mmengine.registry import METRICS

    epochs = []

    @METRICS.register_module()
    class EpochOfValidation(BaseMetric):
        default_prefix = 'toy'

        def process(self, data_batch, data_samples) -> None:
            self.results.append(0)

        def compute_metrics(self, results) -> dict:
            epochs.append(runner.epoch)
            return dict(score=float(runner.epoch))

    loader = toy.settings(tmp_path).train_dataloader
    loader.sampler.shuffle = False
    changes = {
        'train_cfg.val_interval': 2,
        'val_dataloader': loader,
        'val_cfg': {},
        'val_evaluator': dict(type='EpochOfValidation'),
        'default_hooks.checkpoint': dict(type='CheckpointHook', interval=1, save_best='toy/score', rule='greater'),
    }
    runner = toy.build(tmp_path, **changes)
    runner.train()
    assert epochs == [2, 4, 5]
    assert (tmp_path / 'best_toy_score_epoch_5.pth').exists()
    assert [line['trained'] == sorted(HEAD) for line in toy.records(tmp_path)] == [True] * 6 + [False] * 18
    again = toy.build(tmp_path / 'b', load_from=str(tmp_path / 'best_toy_score_epoch_5.pth'), resume=True)
    with pytest.raises(ValueError, match=r'holds no optimizer and no param_schedulers; use one .*epoch_\*'):
        again.train()


def test_stages_are_announced(toy, tmp_path, capfd):
    paramwise = {'optim_wrapper.paramwise_cfg': dict(norm_decay_mult=0.0)}
    toy.build(tmp_path, log_level='INFO', **paramwise).train()
    log = capfd.readouterr()
    text = log.out + log.err
    assert (
        'stage 1 of 2: epochs 1 to 2, 3 iterations each; initial learning rate 0.1, batch size 4; '
        '33 parameters trained, 115 frozen (backbone)'
    ) in text
    assert (
        'stage 2 of 2: epochs 3 to 5, 6 iterations each; initial learning rate 0.02, batch size 2; '
        '123 parameters trained, 25 frozen'
    ) in text
    assert 'eta:' in text
    assert 'paramwise_options -- head.weight' not in text, 'nothing is special about it'
    assert 'paramwise_options -- norm.weight:weight_decay=0.0' in text
    assert 'is skipped since' not in text, 'mmengine warns of every frozen parameter'


def test_learning_rate_is_scaled_by_the_batch_of_each_stage(toy, tmp_path):
    auto = dict(enable=True, base_batch_size=[8, 1])
    toy.build(tmp_path, auto_scale_lr=auto).train()
    lines = toy.records(tmp_path)
    assert (lines[0]['lr'], lines[6]['lr']) == ([0.1 * 4 / 8], [0.02 * 2 / 1])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(freeze=['bacbone']), r"stages\[1\]\.freeze: 'bacbone': ToyNet has no module .* did you mean backbone"),
        (dict(freeze=['backbone', 'norm', 'head']), r'stages\[1\]\.freeze: .*no trainable parameter of ToyNet is left'),
        (dict(optim_wrapper=dict(optimizer=dict(nonsense=1))), r'stages\[1\]\.optim_wrapper=.*nonsense'),
        (dict(optim_wrapper=dict(optimizer=dict(type='Nope'))), r'stages\[1\]\.optim_wrapper=.*Nope'),
        (dict(param_scheduler=[dict(type='StepLR')]), r'stages\[1\]\.param_scheduler=.*step_size'),
    ],
)
def test_errors_of_a_later_stage_come_before_training(toy, tmp_path, change, message):
    runner = toy.build(tmp_path, [dict(epochs=1), dict(epochs=1) | change])
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert not (tmp_path / 'record.jsonl').exists()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(param_scheduler=[dict(type='StepLR', step_size=1)]), r'param_scheduler: each stage .* has its own; set'),
        (dict(optim_wrapper=dict(_delete_=True, head=dict(), constructor='X')), r'optim_wrapper: .* of one optimizer'),
        (
            {'train_dataloader.drop_last': True, 'train_dataloader.batch_size': 13},
            r'stages\[0\]\.batch_size=13: an epoch has no full batch',
        ),
    ],
)
def test_settings_of_the_run_are_checked(toy, tmp_path, changes, message):
    runner = toy.build(tmp_path, [dict(epochs=1)], **changes)
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_a_built_dataloader_cannot_change_its_batch_size(toy, tmp_path):
    runner = toy.build(tmp_path)
    runner._train_dataloader = torch.utils.data.DataLoader(toy.ToyPoints(), batch_size=4)
    with pytest.raises(ValueError, match='train_dataloader: is a DataLoader; StagedTrainLoop needs its settings'):
        runner.train()
