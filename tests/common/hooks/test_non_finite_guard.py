"""Steps that are NaN or Inf: named, kept, left out without a trace, counted, and in the end a reason to stop."""

import copy
import functools
import itertools
import json
import math
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import nn
from torch.utils.data import Dataset

import mmext.common.loops  # noqa: F401
from mmext.common.checkpoints import use_safe_loading
from mmext.common.hooks.non_finite_diagnosis import diagnose, gradients_finite
from mmext.common.hooks.non_finite_guard import RECORD, BufferKeeper, NonFiniteError, NonFiniteGuard
from mmext.common.hooks.non_finite_replay import read_incident, replay
from mmext.common.hooks.plain_batches import from_plain, image_paths, to_plain

NUMBERS = itertools.count()  # mmengine keeps what it knows by the name of the experiment


@DATASETS.register_module()
class GuardPoints(Dataset):
    """Samples of four numbers; those in ``nan`` hold one that is not, those in ``sharp`` break the gradient alone."""

    def __init__(self, nan: tuple = (), sharp: tuple = (), big: tuple = ()) -> None:
        self.inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        self.inputs[list(nan), 1] = torch.nan
        self.inputs[list(sharp)] = 0
        self.inputs[list(big)] = 3e38
        self.metainfo = {}

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.inputs[index], label=index % 2)


class Root(nn.Module):
    """A square root without a margin: fine forward, an infinite gradient where the sum of squares is 0."""

    def forward(self, inputs):
        return inputs.square().sum(1, keepdim=True).sqrt()


@MODELS.register_module()
class GuardNet(BaseModel):
    def __init__(self, root: bool = False, data_preprocessor=None) -> None:
        super().__init__(data_preprocessor)
        self.stem = nn.Linear(4, 6, bias=False)
        self.norm = nn.Identity() if root else nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.root = Root() if root else nn.Linear(6, 1)
        self.head = nn.Linear(1, 2)

    def forward(self, inputs, label, mode='tensor'):
        logits = self.head(self.root(self.drop(self.norm(self.stem(inputs)))))
        if mode == 'loss':
            return dict(loss_cls=nn.functional.cross_entropy(logits, label), loss_size=0.01 * logits.square().mean())
        return logits


@HOOKS.register_module()
class Recorder(Hook):
    """What each step left behind."""

    priority = 'BELOW_NORMAL'  # before the schedulers

    def __init__(self) -> None:
        self.states, self.rates, self.drawn = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        model = getattr(runner.model, 'module', runner.model)
        optimizer = copy.deepcopy(runner.optim_wrapper.optimizer.state_dict()['state'])
        self.states.append(({k: v.clone() for k, v in model.state_dict().items()}, optimizer))
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.drawn.append(torch.get_rng_state())


def config(folder: Path, guard: dict | None, data: dict | None = None, **changes) -> Config:
    hooks = [dict(type='Recorder'), *([dict(type='NonFiniteGuard', **guard)] if guard is not None else [])]
    settings = dict(
        model=dict(type='GuardNet'),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='GuardPoints', **(data or {})),
            collate_fn=dict(type='default_collate'),
        ),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.1), clip_grad=dict(max_norm=1.0)),
        param_scheduler=dict(type='ExponentialLR', gamma=0.5, by_epoch=False),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=1),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        custom_hooks=hooks,
        randomness=dict(seed=3),
        work_dir=str(folder),
        experiment_name=f'guard_{next(NUMBERS)}',
        log_level='ERROR',
    )
    return Config(settings | changes)


def train(cfg: Config) -> Runner:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def recorder(runner: Runner) -> Recorder:
    return next(hook for hook in runner.hooks if isinstance(hook, Recorder))


def equal(one, other) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return all(equal(a, b) for a, b in zip(one, other, strict=True))
    return torch.equal(one, other) if torch.is_tensor(one) else one == other


def test_without_bad_batches_nothing_changes(tmp_path):
    with_guard, without = train(config(tmp_path / 'a', {})), train(config(tmp_path / 'b', None))
    assert equal(recorder(with_guard).states, recorder(without).states)
    assert equal(recorder(with_guard).drawn, recorder(without).drawn)
    assert not (tmp_path / 'a' / 'non_finite').exists()
    step = vars(with_guard.optim_wrapper).get('step')  # released: what is left is the schedulers' count
    assert not isinstance(step, functools.partial)


def test_without_the_guard_the_run_is_lost(tmp_path):
    runner = train(config(tmp_path / 'a', None, dict(nan=[2])))
    assert recorder(runner).states[-1][0]['stem.weight'].isnan().all()


def test_bad_step_leaves_no_trace(tmp_path):
    runner = train(config(tmp_path / 'a', {}, dict(nan=[2])))
    states = recorder(runner).states
    assert len(states) == 4
    assert equal(states[1], states[0])  # weights, batch norm and the optimiser's moments
    assert not equal(states[2], states[1])
    assert recorder(runner).rates == [0.1 * 0.5**step for step in range(4)]
    assert runner.message_hub.get_info(RECORD) == 1
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


def test_schedule_and_random_numbers_go_on_as_without_the_fault(tmp_path):
    bad, good = train(config(tmp_path / 'a', {}, dict(nan=[2]))), train(config(tmp_path / 'b', {}))
    assert recorder(bad).rates == recorder(good).rates
    assert equal(recorder(bad).drawn, recorder(good).drawn)


def test_batch_is_kept_named_and_replayed(root, tmp_path, capsys):
    runner = train(config(tmp_path / 'a', {}, dict(big=[2])))
    folder = tmp_path / 'a' / 'non_finite'
    assert sorted(file.name for file in folder.iterdir()) == [
        *('iter_1_rank0.json', 'iter_1_rank0.pt', 'iter_1_rank0_weights.pth')
    ]
    torch.load(folder / 'iter_1_rank0.pt', weights_only=True)
    incident = read_incident(folder / 'iter_1_rank0.pt')
    assert equal(incident.batch['inputs'], runner.train_dataloader.dataset.inputs[2:4])
    assert (incident.iteration, incident.seed, incident.fault) == (1, 3, 'loss')
    about = json.loads((folder / 'iter_1_rank0.json').read_text())
    assert about['diagnosis']['kind'] == 'forward'
    assert about['diagnosis']['losses']['loss_cls'] == 'nan'
    model = MODELS.build(dict(type='GuardNet'))
    weights = torch.load(folder / 'iter_1_rank0_weights.pth', weights_only=True)['state_dict']
    assert equal(dict(weights), dict(recorder(runner).states[0][0]))
    model.load_state_dict(weights)
    before = torch.get_rng_state()
    assert replay(model, incident) == incident.diagnosis or math.isnan(incident.diagnosis.losses['loss_cls'])
    assert replay(model, incident).text == incident.diagnosis.text
    assert equal(torch.get_rng_state(), before)
    # the command that the log shows
    command = about['replay'].split()
    assert command[:2] == ['python', 'tools/analysis/replay_batch.py']
    main = runpy.run_path(str(root / command[1]))['main']
    Config(dict(model=dict(type='GuardNet'), default_scope='mmengine')).dump(tmp_path / 'a' / 'config.py')
    assert main([str(tmp_path / 'a' / 'config.py'), command[3]]) == 0
    assert incident.diagnosis.text in capsys.readouterr().out


def test_replay_draws_the_same_dropout(tmp_path):
    train(config(tmp_path / 'a', {}, dict(sharp=[2, 3]), model=dict(type='GuardNet', root=True)))
    path = tmp_path / 'a' / 'non_finite' / 'iter_1_rank0.pt'
    incident = read_incident(path)
    model = MODELS.build(dict(type='GuardNet', root=True))
    model.load_state_dict(torch.load(path.with_name(incident.weights), weights_only=True)['state_dict'])
    drawn = []
    model.drop.register_forward_hook(lambda module, arguments, output: drawn.append(output == 0))
    model.drop.register_forward_pre_hook(lambda module, arguments: (torch.ones_like(arguments[0]),))
    for _ in range(2):
        replay(model, incident)
    assert torch.equal(*drawn)
    assert 0 < drawn[0].float().mean() < 1


def test_gradient_alone(tmp_path):
    runner = train(config(tmp_path / 'a', {}, dict(sharp=[4]), model=dict(type='GuardNet', root=True)))
    states = recorder(runner).states
    assert equal(states[2], states[1])
    incident = read_incident(tmp_path / 'a' / 'non_finite' / 'iter_2_rank0.pt')
    assert incident.fault == incident.diagnosis.kind == 'gradient'
    assert math.isfinite(incident.diagnosis.losses['loss_cls'])
    # the square root's own output has a finite gradient, what goes into it has not
    assert incident.diagnosis.module == 'drop'
    assert 'stem.weight' in incident.diagnosis.text


def test_stops_after_too_many_and_says_what_to_try(tmp_path):
    with pytest.raises(NonFiniteError, match=r'iteration 3: non-finite loss: the batch itself.*Try: .*max_skips=1'):
        train(config(tmp_path / 'a', dict(max_skips=1), dict(nan=[0, 4])))
    assert len(list((tmp_path / 'a' / 'non_finite').glob('*.pt'))) == 2


def test_zero_skips_stops_at_once_and_weights_may_be_left_out(tmp_path):
    with pytest.raises(NonFiniteError, match='iteration 1'):
        train(config(tmp_path / 'a', dict(max_skips=0, save_weights=False), dict(nan=[0])))
    assert not list((tmp_path / 'a' / 'non_finite').glob('*weights*'))


def test_count_survives_a_resume(tmp_path):
    use_safe_loading()  # without it, mmengine's original line cannot read its checkpoints
    train(config(tmp_path / 'a', dict(max_skips=1), dict(nan=[6])))
    cfg = config(tmp_path / 'a', dict(max_skips=1), dict(nan=[6]), resume=True)
    cfg.train_cfg.max_epochs = 2
    with pytest.raises(NonFiniteError, match='2 steps'):
        train(cfg)


def test_accumulated_step_is_left_out_as_a_whole(tmp_path):
    optim = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9), accumulative_counts=2)
    runner = train(config(tmp_path / 'a', {}, dict(nan=[2]), optim_wrapper=optim))
    states = recorder(runner).states
    start = MODELS.build(dict(type='GuardNet')).state_dict()
    assert equal(states[1][0]['norm.running_mean'], start['norm.running_mean'])
    assert states[1][1] == {}  # the optimiser never stepped
    assert not equal(states[3][0], states[1][0])
    assert read_incident(tmp_path / 'a' / 'non_finite' / 'iter_1_rank0.pt').iteration == 1


def test_new_optimiser_of_a_stage_is_guarded_too(tmp_path):
    stages = [dict(epochs=1, freeze=['stem']), dict(epochs=1, lr=0.01)]
    cfg = config(tmp_path / 'a', {}, dict(nan=[2]), param_scheduler=None)
    cfg.train_cfg = dict(type='StagedTrainLoop', stages=stages)
    runner = train(cfg)
    assert runner.message_hub.get_info(RECORD) == 2
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    frozen = [read_incident(tmp_path / 'a' / 'non_finite' / f'iter_{i}_rank0.pt').frozen for i in (1, 5)]
    assert 'stem' in frozen[0]
    assert 'stem' not in frozen[1]


def test_weights_that_are_broken_already_are_named():
    model = MODELS.build(dict(type='GuardNet'))
    with torch.no_grad():
        model.head.bias[0] = torch.inf
    batch = dict(inputs=torch.zeros(2, 4), label=torch.zeros(2, dtype=torch.long))
    found = diagnose(model, batch)
    assert (found.kind, found.module) == ('parameter', 'head')


def test_diagnosis_of_a_sound_batch_leaves_no_gradient():
    model = MODELS.build(dict(type='GuardNet'))
    found = diagnose(model, dict(inputs=torch.randn(4, 4), label=torch.zeros(4, dtype=torch.long)))
    assert found.kind == 'not reproduced'
    assert all(value.grad is None for value in model.parameters())


def test_gradients_are_finite_or_not():
    one, two = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, dtype=torch.float64))
    assert gradients_finite([one, two]) is None
    one.grad, two.grad = torch.full((3,), 1e30), torch.zeros(2, dtype=torch.float64)
    assert gradients_finite([one, two])  # although the sum of the squares overflows
    one.grad = torch.full((3,), 3e38)
    assert gradients_finite([one, two])  # although their sum overflows
    for value in (math.nan, math.inf, -math.inf):
        two.grad[1] = value
        assert not gradients_finite([one, two])


def test_buffers_are_put_back_and_copied_only_if_written():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    model[1].eval()
    keeper = BufferKeeper(model)
    keeper.keep()
    model(torch.randn(4, 2))
    model[1].register_buffer('running_var', torch.zeros(2))  # replaced and not written to
    keeper.restore()
    assert model[0].running_mean.tolist() == [0, 0]
    assert model[0].num_batches_tracked == 0
    assert model[1].running_var.tolist() == [1, 1]
    keeper.keep()
    copies = [copy for _, _, copy in keeper._copies]
    keeper.keep()
    assert all(a is b for a, (_, _, b) in zip(copies, keeper._copies, strict=True))


def test_infinite_gradients_of_a_loss_scale_are_left_to_it(tmp_path, monkeypatch):
    """On the CPU, with torch's own scaler in the place of the GPU's."""
    from mmengine.optim import AmpOptimWrapper
    from mmengine.optim.optimizer import amp_optimizer_wrapper

    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    scaler = lambda **settings: torch.amp.GradScaler('cpu', **settings)  # noqa: E731
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', scaler)
    monkeypatch.setattr(AmpOptimWrapper, 'optim_context', lambda self, model: torch.autocast('cpu', enabled=False))
    root, amp = dict(type='GuardNet', root=True), dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    for scale, skips in ((1024.0, 0), (1.0, 1)):
        optim = amp | dict(loss_scale=dict(init_scale=scale))
        runner = train(config(tmp_path / str(int(scale)), {}, dict(sharp=[2]), model=root, optim_wrapper=optim))
        assert runner.message_hub.runtime_info.get(RECORD, 0) == skips
        assert equal(recorder(runner).states[1][0], recorder(runner).states[0][0])
        assert runner.optim_wrapper.loss_scaler.get_scale() == (scale / 2 if not skips else scale)
    # a loss that is not finite counts at any scale, and the scale does not fall
    optim = amp | dict(loss_scale=dict(init_scale=1024.0))
    runner = train(config(tmp_path / 'loss', {}, dict(nan=[2]), optim_wrapper=optim))
    assert runner.message_hub.get_info(RECORD) == 1
    assert runner.optim_wrapper.loss_scaler.get_scale() == 1024


def train_one_of_two(folder: Path) -> dict:
    """The work of one process that torchrun started."""
    torch.distributed.init_process_group('gloo')  # mmengine itself would select a GPU
    cfg = config(
        folder,
        {},
        dict(nan=[1]),  # the first sample of the second process
        launcher='pytorch',
        model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False),
    )
    runner = train(cfg)
    states = [state for state, _ in recorder(runner).states]
    return dict(skips=runner.message_hub.get_info(RECORD), weights=[state['stem.weight'].tolist() for state in states])


@pytest.mark.slow
def test_all_processes_leave_out_the_same_step(tmp_path):
    # New processes: in a fork of one that has trained, the backward pass waits for ever.
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', __file__]
    subprocess.run([*command, str(tmp_path)], check=True, timeout=120, capture_output=True)
    one, other = (json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2))
    assert one == other
    assert one['skips'] == 1
    assert one['weights'][1] != one['weights'][0]
    assert [file.name for file in (tmp_path / 'a' / 'non_finite').glob('*.pt')] == ['iter_0_rank1.pt']


def test_negative_number_of_skips_is_refused():
    with pytest.raises(ValueError, match='max_skips=-1'):
        HOOKS.build(dict(type='NonFiniteGuard', max_skips=-1))
    assert isinstance(HOOKS.build(dict(type='NonFiniteGuard')), NonFiniteGuard)


def test_samples_of_a_batch_survive_a_file(tmp_path):
    sample = BaseDataElement(metainfo=dict(img_path='a.png', scale_factor=(0.5, 2.0)))
    sample.gt_instances = InstanceData(bboxes=torch.rand(2, 4), labels=torch.tensor([1, 2]))
    sample.gt_sem_seg = PixelData(data=torch.ones(1, 4, 4, dtype=torch.uint8))
    batch = dict(inputs=[torch.rand(3, 4, 4)], data_samples=[sample], extra=(1, None, 'x', 2.5))
    torch.save(to_plain(batch), tmp_path / 'b.pt')
    read = from_plain(torch.load(tmp_path / 'b.pt', weights_only=True))
    assert read['extra'] == batch['extra']
    assert torch.equal(read['inputs'][0], batch['inputs'][0])
    assert torch.equal(read['data_samples'][0].gt_instances.bboxes, sample.gt_instances.bboxes)
    assert read['data_samples'][0].gt_sem_seg.data.dtype == torch.uint8
    assert read['data_samples'][0].metainfo == sample.metainfo
    assert image_paths(read) == ['a.png']


@pytest.mark.parametrize('name', ['os.system', 'mmengine.runner.Runner', 'mmdet.structures.bbox.nothing'])
def test_a_file_cannot_name_any_class(name):
    with pytest.raises((ValueError, ModuleNotFoundError), match=r'no class of a batch|mmdet'):
        from_plain({'__kind__': 'element', 'class': name, 'fields': {}, 'metainfo': {}})


def test_what_cannot_be_stored_says_so():
    with pytest.raises(ValueError, match='cannot be replayed'):
        from_plain(to_plain(dict(file=object())))


@pytest.mark.parametrize('content', [b'', b'nonsense', None])
def test_other_files_are_refused(root, tmp_path, content, capsys):
    main = runpy.run_path(str(root / 'tools/analysis/replay_batch.py'))['main']
    if content is None:
        torch.save(dict(state_dict={}), tmp_path / 'x.pt')
    else:
        (tmp_path / 'x.pt').write_bytes(content)
    assert main(['config.py', str(tmp_path / 'x.pt')]) == 1
    assert 'x.pt' in capsys.readouterr().err


if __name__ == '__main__':
    target = Path(sys.argv[1])
    result = train_one_of_two(target / 'a')
    (target / f'{os.environ["RANK"]}.json').write_text(json.dumps(result))
