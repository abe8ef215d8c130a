"""The loops with mmengine's own Runner; what they do with `DurableRunner` is tested beside that."""

import logging
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, LOOPS, RUNNERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmext.common.checkpoints import use_safe_loading
from mmext.common.kill_test import toy_task
from mmext.common.loops import resumption
from mmext.common.loops.resumable_loops import ResumableEpochLoop, ResumableIterLoop


@HOOKS.register_module()
class NoteHook(Hook):
    """Notes what is trained and validated, in this list."""

    priority = 'LOW'
    notes: ClassVar[list[tuple]] = []

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.notes.append((batch_idx, runner.epoch, runner.iter, tuple(data_batch['labels'].tolist())))

    def before_val_epoch(self, runner) -> None:
        self.notes.append(('val', runner.iter))


@RUNNERS.register_module()
class QuietRunner(Runner):
    """mmengine's own, except that it reads checkpoints on every release of torch."""

    @classmethod
    def from_cfg(cls, cfg: Config) -> Runner:
        use_safe_loading()
        return super().from_cfg(cfg)

    def _log_env(self, env_cfg: dict) -> None:
        pass


def train(work_dir: Path, train_cfg: dict, sampler: str = 'DefaultSampler', **changes) -> list[tuple]:
    """Train the toy by a loop; what `NoteHook` notes."""
    by_epoch = 'max_epochs' in train_cfg
    cfg = toy_task('epoch' if by_epoch else 'iter')
    cfg.work_dir, cfg.train_cfg = str(work_dir), Config(dict(x=train_cfg)).x
    cfg.train_dataloader.sampler = dict(type=sampler, shuffle=True)
    cfg.custom_hooks = [dict(type='NoteHook')]
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1)
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
    cfg.param_scheduler = None
    cfg.randomness = dict(seed=0)
    train.count += 1
    cfg.experiment_name = f'loops{train.count}'
    cfg.merge_from_dict(changes)
    NoteHook.notes = []
    QuietRunner.from_cfg(cfg).train()
    return NoteHook.notes


train.count = 0
EPOCHS = dict(type='ResumableEpochLoop', max_epochs=3, val_interval=2)
ITERS = dict(type='ResumableIterLoop', max_iters=15, val_interval=6)


@pytest.fixture(scope='module')
def epochs(tmp_path_factory) -> tuple[Path, list]:
    """Three epochs of six iterations."""
    folder = tmp_path_factory.mktemp('epochs')
    return folder, train(folder, EPOCHS)


@pytest.fixture(scope='module')
def iters(tmp_path_factory) -> tuple[Path, list]:
    """15 iterations, of passes of six."""
    folder = tmp_path_factory.mktemp('iters')
    return folder, train(folder, ITERS)


def test_a_run_without_a_pause_is_mmengines(epochs, iters, tmp_path):
    assert train(tmp_path / 'a', EPOCHS | dict(type='EpochBasedTrainLoop')) == epochs[1]
    assert [note for note in epochs[1] if note[0] == 'val'] == [('val', 12), ('val', 18)]
    assert train(tmp_path / 'b', ITERS | dict(type='IterBasedTrainLoop')) == iters[1]
    assert [note for note in iters[1] if note[0] == 'val'] == [('val', 6), ('val', 12), ('val', 15)]


@pytest.mark.parametrize(('done', 'rest'), [(4, 4), (6, 6), (12, 12), (13, 14), (18, 19)])
def test_epochs_go_on_in_their_middle_and_with_the_validation_that_was_due(epochs, tmp_path, done, rest):
    """``rest`` is the place in the notes: the validation after iteration 12 is made up for, that after 13 was made."""
    folder, whole = epochs
    assert train(tmp_path, EPOCHS, load_from=str(folder / f'iter_{done}.pth'), resume=True) == whole[rest:]


@pytest.mark.parametrize(('done', 'rest'), [(4, 4), (6, 6), (7, 8), (14, 16), (15, 17)])
def test_iterations_go_on_within_later_passes_too(iters, tmp_path, done, rest):
    folder, whole = iters
    assert train(tmp_path, ITERS, load_from=str(folder / f'iter_{done}.pth'), resume=True) == whole[rest:]


@pytest.mark.parametrize('workers', [0, 1])
def test_an_endless_sampler_goes_on(tmp_path, workers):
    changes = {'train_dataloader.num_workers': workers}
    whole = train(tmp_path / 'whole', ITERS, 'InfiniteSampler', **changes)
    changes |= dict(load_from=str(tmp_path / 'whole' / 'iter_14.pth'), resume=True)
    assert train(tmp_path / 'rest', ITERS, 'InfiniteSampler', **changes) == whole[16:]


def test_a_validation_that_was_made_is_not_made_again(iters, tmp_path):
    folder, whole = iters
    checkpoint = torch.load(folder / 'iter_6.pth', weights_only=False)
    checkpoint['message_hub']['runtime_info'][resumption.VALIDATED] = 6
    torch.save(checkpoint, tmp_path / 'iter_6.pth')
    assert train(tmp_path / 'rest', ITERS, load_from=str(tmp_path / 'iter_6.pth'), resume=True) == whole[7:]


def test_intervals_that_change_hold_for_the_made_up_validation(iters, tmp_path):
    """From iteration 6 on every third one is validated, so the one after 9 was due; from 1 on every sixth, not so."""
    checkpoint = str(iters[0] / 'iter_9.pth')
    for milestone, first in ((6, ('val', 9)), (12, (9, 0, 9))):
        loop = ITERS | dict(dynamic_intervals=[(milestone, 3)])
        notes = train(tmp_path / str(milestone), loop, load_from=checkpoint, resume=True)
        assert notes[0][: len(first)] == first


@pytest.mark.parametrize('loop', [EPOCHS, ITERS])
def test_a_checkpoint_without_an_optimizer_is_refused(iters, tmp_path, loop):
    checkpoint = torch.load(iters[0] / 'iter_6.pth', weights_only=False)
    del checkpoint['optimizer']
    torch.save(checkpoint, tmp_path / 'best.pth')
    with pytest.raises(ValueError, match=r'holds no optimizer; use one .* load_from=<checkpoint>, resume=False'):
        train(tmp_path / 'rest', loop, load_from=str(tmp_path / 'best.pth'), resume=True)


def test_other_data_begin_the_epoch_anew(epochs, tmp_path, caplog):
    """36 samples make epochs of nine iterations."""
    folder, _ = epochs
    changes = {'train_dataloader.dataset.samples': 36, 'load_from': str(folder / 'iter_8.pth'), 'resume': True}
    with caplog.at_level(logging.WARNING):
        notes = train(tmp_path, EPOCHS, **changes)
    assert [note[:3] for note in notes[:2]] == [(0, 1, 9), (1, 1, 10)]
    assert notes[9] == ('val', 18)


def checkpoint(iteration: int, epoch: int, length: int | None = None) -> dict:
    info = {} if length is None else {resumption.EPOCH_LENGTH: length}
    return dict(meta=dict(iter=iteration, epoch=epoch), message_hub=dict(runtime_info=info))


@pytest.mark.parametrize(
    ('given', 'done', 'iteration'),
    [
        ((0, 0, 6), 0, 0),
        ((8, 1, 6), 2, 8),
        ((12, 1, 6), 6, 12),  # the last batch of an epoch that has not been ended yet
        ((12, 2, 6), 0, 12),
        ((8, 1, None), 2, 8),  # of mmengine's own loop
        ((8, 1, 7), 0, 6),  # other data
        ((40, 0, None), 0, 0),  # of a loop that counts no epochs
    ],
)
def test_batches_done(given, done, iteration):
    made = checkpoint(*given)
    assert resumption.batches_done(made, 6) == done
    assert made['meta']['iter'] == iteration


def test_registry_builds_them():
    assert LOOPS.get('ResumableEpochLoop') is ResumableEpochLoop
    assert LOOPS.get('ResumableIterLoop') is ResumableIterLoop
    # What mmengine and hooks ask for.
    assert issubclass(ResumableEpochLoop, EpochBasedTrainLoop)
    assert issubclass(ResumableIterLoop, IterBasedTrainLoop)
