import copy
import json
import logging
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS, HOOKS, MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from torch import nn

from mmext.classification.evaluation import train_accuracy_hook
from mmext.classification.evaluation.train_accuracy_hook import (
    TrainAccuracyHook,
    clean_indices,
)

CLASSES, IMAGES = 3, 10


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


class _Flat(nn.Module):
    """Pixels as features, with a dropout and random numbers that only training draws."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.norm = nn.BatchNorm1d(3 * 16)

    def forward(self, images):
        return (self.norm(self.drop(images.flatten(1))),)


class _Pictures(BaseDataset):
    """Ten 4 x 4 images, label i % 3, which their mean tells."""

    def __init__(self, **kwargs):
        super().__init__(ann_file='', metainfo=dict(classes=('a', 'b', 'c')), **kwargs)

    def load_data_list(self):
        rows = np.random.default_rng(0).integers(0, 60, (IMAGES, 4, 4, 3))
        return [
            dict(img=(rows[index] + 90 * (index % 3)).astype(np.uint8), gt_label=index % 3) for index in range(IMAGES)
        ]


class _Noise:
    """An augmentation that destroys the image and draws from every generator."""

    def __call__(self, results):
        noise = np.random.randint(0, 255, results['img'].shape) + random.random()  # noqa: NPY002
        return results | dict(img=(noise + torch.rand(1).item()).astype(np.uint8))


REGISTERED = ((MODELS, _Flat), (DATASETS, _Pictures), (TRANSFORMS, _Noise))


@pytest.fixture
def toys():
    for registry, made in REGISTERED:
        registry.register_module(name=made.__name__, module=made)
    yield
    for registry, made in REGISTERED:
        registry.module_dict.pop(made.__name__)


def samples(labels, scores=None):
    made = [DataSample().set_gt_label(label) for label in labels]
    for sample, score in zip(made, scores if scores is not None else (), strict=False):
        sample.set_gt_score(score)
    return made


def test_wrong_settings_are_told():
    for settings in (dict(interval=0), dict(iter_interval=0), dict(num_clean_images=-1)):
        with pytest.raises(ValueError, match='intervals are at least 1'):
            TrainAccuracyHook(**settings)
    runner = SimpleNamespace(train_loop=None, train_dataloader=SimpleNamespace(dataset=[1, 2]))
    with pytest.raises(ValueError, match=r'list has no get_data_info.*num_clean_images=0'):
        TrainAccuracyHook(pipeline=[]).before_train(runner)


def test_registry_builds_it():
    hook = HOOKS.build(dict(type='TrainAccuracyHook', num_clean_images=7, pipeline=[dict(type='PackInputs')]))
    assert hook.num_clean_images == 7
    assert len(hook.pipeline.transforms) == 1


def toy_runner(model=None):
    """What the hook needs of a Runner, for training without clean images."""
    written = []
    return SimpleNamespace(
        model=nn.ModuleDict(dict(head=nn.Identity())) if model is None else model,
        train_loop=None,
        iter=0,
        epoch=0,
        max_epochs=9,
        visualizer=SimpleNamespace(add_scalars=lambda tags, step: written.append((step, tags))),
        logger=logging.getLogger('toy'),
        written=written,
    )


def step(hook, runner, logits, data_samples):
    hook.before_train_iter(runner, 0)
    runner.model['head'](logits)
    hook.after_train_iter(runner, 0, dict(data_samples=data_samples), {})


def epoch(runner, hook, batches):
    hook.before_train_epoch(runner)
    for logits, data_samples in batches:
        step(hook, runner, logits, data_samples)
    hook.after_train_epoch(runner)
    runner.epoch += 1


def test_means_weigh_images_not_batches():
    runner, hook = toy_runner(), TrainAccuracyHook(num_clean_images=0)
    head = runner.model['head']
    batches = [(torch.eye(3), samples([0, 1, 0])), (torch.eye(3)[:1], samples([1], [[0.4, 0.6, 0]]))]
    epoch(runner, hook, batches)
    assert not head._forward_hooks
    expected = {'accuracy/train_mixed': (1 + 1 + 0 + 0.4) / 4, 'accuracy/train_mixed_best': 3.6 / 4}
    assert runner.written == [(1, {key: pytest.approx(100 * value) for key, value in expected.items()})]
    assert not any('loss' in key for key in expected)
    # The next epoch starts anew; one without a batch writes nothing.
    epoch(runner, hook, batches[1:])
    expected = {'accuracy/train_mixed': pytest.approx(40), 'accuracy/train_mixed_best': pytest.approx(60)}
    assert runner.written[1] == (2, expected)
    epoch(runner, hook, [])
    assert len(runner.written) == 2


def test_values_of_several_epochs():
    runner, hook = toy_runner(), TrainAccuracyHook(num_clean_images=0, interval=4)
    for label in range(9):
        epoch(runner, hook, [(torch.eye(3)[:1], samples([label % 2]))])
    # epochs 1-4, 5-8, and the last one alone
    assert [(step, tags['accuracy/train_mixed']) for step, tags in runner.written] == [(4, 50), (8, 50), (9, 100)]


def test_sums_go_on_in_another_process():
    """Half of an epoch here, the other half there: right, wrong | both right."""
    hooks = [TrainAccuracyHook(num_clean_images=0) for _ in range(2)]
    runner = toy_runner()
    hooks[0].before_train_epoch(runner)
    for label in (0, 1):
        step(hooks[0], runner, torch.eye(3)[:1], samples([label]))
    hooks[0]._release()
    hooks[1].load_state_dict(copy.deepcopy(hooks[0].state_dict()))
    epoch(runner, hooks[1], [(torch.eye(3)[:2], samples([0, 1]))])
    assert runner.written[0][1]['accuracy/train_mixed'] == 75


def test_only_the_training_forward_counts():
    runner, hook = toy_runner(), TrainAccuracyHook(num_clean_images=0)
    hook.before_train_epoch(runner)
    hook.before_train_iter(runner, 0)
    logits = torch.eye(3, requires_grad=True)
    runner.model['head'](logits)
    assert not hook._logits.requires_grad
    hook.after_train_iter(runner, 0, dict(data_samples=samples([0, 1, 2])), {})
    runner.model['head'](torch.zeros(3, 3))  # between two iterations, as a validation
    assert hook._logits is None
    hook.after_train_epoch(runner)
    assert runner.written[0][1]['accuracy/train_mixed'] == 100


def test_a_head_in_evaluation_mode_is_watched_too():
    runner, hook = toy_runner(), TrainAccuracyHook(num_clean_images=0)
    runner.model['head'].eval()
    epoch(runner, hook, [(torch.eye(3), samples([0, 1, 2]))])
    assert runner.written[0][1]['accuracy/train_mixed'] == 100


def test_what_cannot_be_had_is_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(train_accuracy_hook, 'print_log', lambda text, *_: told.append(text))
    for model, logits, data_samples, match in (
        (nn.ModuleDict(), None, samples([0]), 'ModuleDict has no head'),
        (None, (torch.eye(3), torch.eye(3)), samples([0, 1, 2]), 'does not give logits'),
        (None, torch.eye(3), samples([0]), 'does not give logits'),
        (None, torch.eye(3), None, 'does not give logits'),
        (None, torch.eye(3), samples([[0, 1], 1, 2]), 'neither scores nor one label each'),
    ):
        runner, hook = toy_runner(model), TrainAccuracyHook(num_clean_images=0)
        hook.before_train_epoch(runner)
        for _ in range(2):
            hook.before_train_iter(runner, 0)
            if model is None:
                runner.model['head'](logits)
            hook.after_train_iter(runner, 0, dict(data_samples=data_samples), {})
        hook.after_train_epoch(runner)
        assert runner.written == []
        assert len(told) == 1
        assert match in told.pop()


def config(work, hooks=(), augments=None, loop=None):
    pipeline = [dict(type='PackInputs')]
    data = dict(batch_size=4, num_workers=0, dataset=dict(type='_Pictures', pipeline=pipeline))
    iterations = loop is not None
    train = data | dict(
        sampler=dict(type='InfiniteSampler' if iterations else 'DefaultSampler', shuffle=True),
        dataset=dict(type='_Pictures', pipeline=[dict(type='_Noise'), *pipeline]),
    )
    preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3, num_classes=CLASSES)
    if augments:
        preprocessor['batch_augments'] = dict(augments=augments)
    return Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(work),
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='_Flat'),
                head=dict(type='LinearClsHead', in_channels=48, num_classes=CLASSES),
                data_preprocessor=preprocessor,
            ),
            train_dataloader=train,
            val_dataloader=data | dict(sampler=dict(type='DefaultSampler', shuffle=False)),
            val_evaluator=dict(type='Accuracy', topk=(1,)),
            train_cfg=loop or dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=1),
            val_cfg=dict(type='ValLoop'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=-1, save_last=False)),
            custom_hooks=list(hooks),
            log_processor=dict(by_epoch=not iterations),
            visualizer=dict(
                type='UniversalVisualizer',
                name=str(work),
                vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
            ),
            experiment_name=str(work).replace('/', '_'),
            randomness=dict(seed=0),
        )
    )


HOOK = dict(type='TrainAccuracyHook', num_clean_images=7)


def rows_of(work):
    (scalars,) = work.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in scalars.read_text().splitlines()]


@pytest.mark.usefixtures('toys')
@pytest.mark.parametrize('augments', [None, dict(type='PairwiseCutMix')])
def test_a_run_logs_it_everywhere_and_learns_the_same(tmp_path, augments):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # An average of the weights is a copy of the model.
    ema = dict(type='EMAHook')
    runner = Runner.from_cfg(config(tmp_path / 'with', [HOOK, ema], augments))
    runner.train()
    without = Runner.from_cfg(config(tmp_path / 'without', [ema], augments))
    without.train()
    for name, value in without.model.state_dict().items():
        assert torch.equal(value, runner.model.state_dict()[name]), name
    assert not runner.model.head._forward_hooks

    rows = rows_of(tmp_path / 'with')
    ours = [row for row in rows if 'accuracy/train_clean' in row]
    assert [row['step'] for row in ours] == [1, 2]
    for row in ours:
        assert set(row) == {
            'step',
            *(f'accuracy/{name}' for name in ('train_mixed', 'train_mixed_best', 'train_clean')),
        }
        assert 0 <= row['accuracy/train_mixed'] <= row['accuracy/train_mixed_best'] <= 100
        assert (row['accuracy/train_mixed_best'] == 100) == (augments is None)
    rest = [[{k: v for k, v in row.items() if 'time' not in k} for row in rows_of(tmp_path / work)
             if 'accuracy/train_clean' not in row] for work in ('with', 'without')]  # fmt: skip
    assert rest[0] == rest[1]

    # The images themselves, by another way: the validation's own data set.
    dataset = runner.val_dataloader.dataset
    chosen = [dataset[index] for index in clean_indices(IMAGES, 7, seed=0)]
    runner.model.eval()
    batch = dict(inputs=[s['inputs'] for s in chosen], data_samples=[s['data_samples'] for s in chosen])
    with torch.no_grad():
        inputs = runner.model.data_preprocessor(batch, False)['inputs']
        predicted = runner.model(inputs, mode='tensor').argmax(1)
    truth = torch.tensor([index % 3 for index in clean_indices(IMAGES, 7, seed=0)])
    assert ours[1]['accuracy/train_clean'] == pytest.approx(100 * float((predicted == truth).float().mean()))

    (folder,) = (tmp_path / 'with').glob('*/vis_data')
    events = EventAccumulator(str(folder))
    events.Reload()
    for key in ('accuracy/train_mixed', 'accuracy/train_clean'):
        assert [event.step for event in events.Scalars(key)] == [1, 2]
    (log,) = (tmp_path / 'with').glob('*/*.log')
    assert 'Epoch(train) [2] accuracy:  accuracy/train_mixed: ' in log.read_text()


@pytest.mark.usefixtures('toys')
def test_curves_of_a_run_have_them_as_metrics(tmp_path):
    from mmext.analysis.run_curves import read_run

    Runner.from_cfg(config(tmp_path / 'run', [HOOK, dict(type='EpochLossesHook')])).train()
    run = read_run(tmp_path / 'run')
    assert set(run.metrics) == {
        *(f'accuracy/{name}' for name in ('top1', 'train_mixed', 'train_mixed_best', 'train_clean'))
    }
    assert all(curve.x == (1, 2) for curve in run.metrics.values())
    assert set(run.losses) == {'total'}


@pytest.mark.usefixtures('toys')
def test_a_run_in_iterations(tmp_path):
    loop = dict(type='IterBasedTrainLoop', max_iters=8, val_interval=2)
    Runner.from_cfg(config(tmp_path / 'run', [HOOK | dict(iter_interval=3)], loop=loop)).train()
    rows = [row for row in rows_of(tmp_path / 'run') if 'accuracy/train_mixed' in row]
    assert [row['step'] for row in rows] == [3, 6, 8]
    assert all('accuracy/train_clean' in row for row in rows)


def test_processes_share_the_clean_images(monkeypatch):
    class Recording(list):
        def get_data_info(self, index):
            seen.append(index)
            return dict(inputs=torch.zeros(1), data_samples=DataSample().set_gt_label(0))

    class Zero(nn.Identity):
        def val_step(self, data):
            return [sample.set_pred_label(0) for sample in data['data_samples']]

    parts = []
    for rank in range(3):
        seen = []
        monkeypatch.setattr(train_accuracy_hook, 'get_dist_info', lambda rank=rank: (rank, 3))
        runner = toy_runner(Zero())
        runner.train_dataloader = SimpleNamespace(dataset=Recording(range(30)), batch_size=2)
        hook = TrainAccuracyHook(num_clean_images=8, pipeline=[])
        hook.before_train(runner)
        hook._write(runner, 1)
        assert runner.written == [(1, {'accuracy/train_clean': 100})]
        parts.append(seen)
    assert [len(part) for part in parts] == [3, 3, 2]
    assert sorted(index for part in parts for index in part) == clean_indices(30, 8, seed=0)


def _shares_of_processes(rank, path):
    runner, hook = toy_runner(), TrainAccuracyHook(num_clean_images=0)
    data_samples = samples([0, 1, 2]) if rank == 0 else samples([1])
    epoch(runner, hook, [(torch.eye(3)[: len(data_samples)], data_samples)])
    return runner.written[0][1]['accuracy/train_mixed']


def test_means_are_of_all_processes(in_two_processes, tmp_path):
    # three hits of three images, and none of one
    assert in_two_processes(_shares_of_processes, tmp_path) == [75, 75]
