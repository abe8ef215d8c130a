import errno
import logging
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmext.common import checkpoint_files
from mmext.common.checkpoint_files import CheckpointWriteError, find_resumable, sidecar, verify
from mmext.common.hooks.durable_checkpoint_hook import OUTDATED, DurableCheckpointHook


class Killed(BaseException):
    pass


def files(folder: Path, pattern: str = '*.pth') -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def load(path: Path) -> dict:
    return torch.load(path, weights_only=False)


@pytest.mark.parametrize(
    ('by_epoch', 'settings'),
    [
        (True, dict()),
        (True, dict(max_keep_ckpts=1, save_best='auto', rule='greater')),
        (True, dict(max_keep_ckpts=2, save_best=['toy/rising', 'toy/falling'], rule='greater')),
        (True, dict(interval=2, save_last=False, filename_tmpl='model-{}.pth')),
        (False, dict(interval=4, max_keep_ckpts=2, save_begin=8, save_best='toy/falling', rule='less')),
        (False, dict(interval=-1, save_optimizer=False, save_param_scheduler=False)),
    ],
)
def test_same_files_as_of_mmengine(toy, tmp_path, monkeypatch, by_epoch, settings):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)  # at the end of the data
    found = {}
    for kind in (CheckpointHook, DurableCheckpointHook):
        folder = tmp_path / kind.__name__
        toy.build(folder, by_epoch, runner=Runner, checkpoint=dict(settings, type=kind)).train()
        found[kind] = {name: load(folder / name) for name in files(folder)}
        found[kind]['last_checkpoint'] = (folder / 'last_checkpoint').read_text().replace(kind.__name__, '')
    theirs, ours = found.values()
    assert theirs.pop('last_checkpoint') == ours.pop('last_checkpoint')
    assert theirs.keys() == ours.keys()
    for name, checkpoint in theirs.items():
        assert ours[name].keys() == checkpoint.keys()
        assert ours[name]['meta'].keys() == checkpoint['meta'].keys()
        assert [ours[name]['meta'][key] for key in ('iter', 'epoch')] == [
            checkpoint['meta'][key] for key in ('iter', 'epoch')
        ]
        assert torch.equal(ours[name]['state_dict']['layer.weight'], checkpoint['state_dict']['layer.weight'])


def test_deletes_only_when_a_newer_one_is_safe(toy, tmp_path, monkeypatch):
    """Stopped right before any deletion, a run finds its newest checkpoint and the best file that this one knows of."""
    remove, seen = LocalBackend.remove, []

    def check_and_remove(self, path):
        newest, skipped = find_resumable(tmp_path)
        hub = load(newest)['message_hub']['runtime_info']
        best = hub.get('best_ckpt')
        assert skipped == []
        assert best is None or verify(best) is None
        assert str(newest) not in path
        seen.append((Path(path).name, newest.name))
        remove(self, path)

    monkeypatch.setattr(LocalBackend, 'remove', check_and_remove)
    toy.build(tmp_path, checkpoint=dict(max_keep_ckpts=1, save_best='toy/rising', rule='greater')).train()
    assert seen == [
        ('epoch_1.pth.sha256', 'epoch_2.pth'),
        ('epoch_1.pth', 'epoch_2.pth'),
        ('best_toy_rising_epoch_1.pth.sha256', 'epoch_3.pth'),
        ('best_toy_rising_epoch_1.pth', 'epoch_3.pth'),
        ('epoch_2.pth.sha256', 'epoch_3.pth'),
        ('epoch_2.pth', 'epoch_3.pth'),
        ('best_toy_rising_epoch_2.pth.sha256', 'epoch_3.pth'),
        ('best_toy_rising_epoch_2.pth', 'epoch_3.pth'),
    ]
    left = ['best_toy_rising_epoch_3.pth', 'epoch_3.pth']
    assert files(tmp_path, '*.pth*') == sorted(left + [f'{name}.sha256' for name in left])


def test_regular_checkpoint_is_not_written_again_after_validation(toy, tmp_path):
    runner = toy.build(tmp_path, checkpoint=dict(save_best='toy/rising', rule='greater'))
    written = []
    save = runner.save_checkpoint
    runner.save_checkpoint = lambda folder, filename, *args, **kwargs: (
        written.append(filename),
        save(folder, filename, *args, **kwargs),
    )
    runner.train()
    assert written == [f'{kind}epoch_{epoch}.pth' for epoch in (1, 2, 3) for kind in ('', 'best_toy_rising_')]


@pytest.mark.parametrize('moment', range(6))
def test_a_run_that_was_killed_while_deleting_tidies_up_when_it_goes_on(toy, tmp_path, monkeypatch, moment):
    settings = dict(checkpoint=dict(max_keep_ckpts=1, save_best='toy/rising', rule='greater'))
    remove, removed = LocalBackend.remove, []

    def remove_or_die(self, path):
        if len(removed) == moment:
            raise Killed
        removed.append(path)
        remove(self, path)

    monkeypatch.setattr(LocalBackend, 'remove', remove_or_die)
    with pytest.raises(Killed):
        toy.build(tmp_path, **settings).train()
    monkeypatch.undo()
    newest, _ = find_resumable(tmp_path)
    toy.build(tmp_path, resume=True, load_from=str(newest), **settings).train()
    left = files(tmp_path)
    assert [name for name in left if not name.startswith('best_')] == ['epoch_3.pth']
    assert len([name for name in left if name.startswith('best_')]) == 1
    assert files(tmp_path, '*.sha256') == [f'{name}.sha256' for name in left]


def test_smaller_setting_deletes_with_digests(toy, tmp_path):
    toy.build(tmp_path, checkpoint=dict(max_keep_ckpts=3)).train()
    toy.build(tmp_path, resume=True, load_from=str(tmp_path / 'epoch_3.pth'), checkpoint=dict(max_keep_ckpts=1)).train()
    assert files(tmp_path, '*.pth*') == ['epoch_3.pth', 'epoch_3.pth.sha256']


def test_full_disk_keeps_what_was_there(toy, tmp_path, monkeypatch):
    settings = dict(checkpoint=dict(max_keep_ckpts=1, save_best='toy/rising', rule='greater'))
    runner = toy.build(tmp_path, **settings)
    digest = checkpoint_files.file_digest

    def full(path):
        if 'epoch_2' in str(path):
            raise OSError(errno.ENOSPC, 'no space left')
        return digest(path)

    monkeypatch.setattr(checkpoint_files, 'file_digest', full)
    with pytest.raises(CheckpointWriteError, match=r'epoch_2\.pth: the checkpoint could not be written: the disk is'):
        runner.train()
    monkeypatch.undo()
    assert files(tmp_path) == ['best_toy_rising_epoch_1.pth', 'epoch_1.pth']
    assert find_resumable(tmp_path) == (tmp_path / 'epoch_1.pth', [])
    assert not list(tmp_path.glob('.*'))
    toy.build(tmp_path, resume=True, load_from=str(tmp_path / 'epoch_1.pth'), **settings).train()
    assert files(tmp_path) == ['best_toy_rising_epoch_3.pth', 'epoch_3.pth']


def test_note_that_cannot_be_written_stops_nothing(toy, tmp_path, caplog):
    (tmp_path / 'last_checkpoint').mkdir()
    runner = toy.build(tmp_path)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert 'last_checkpoint could not be written' in caplog.text
    assert find_resumable(tmp_path) == (tmp_path / 'epoch_3.pth', [])


def test_published_files(toy, tmp_path):
    settings = dict(published_keys=['meta', 'state_dict'], save_best=['toy/rising', 'toy/falling'], rule='greater')
    toy.build(tmp_path, checkpoint=settings).train()
    published = [path for path in tmp_path.glob('*.pth') if len(path.stem.split('-')) == 2]
    assert sorted(path.name.split('-')[0] for path in published) == [
        'best_toy_falling_epoch_1',
        'best_toy_rising_epoch_3',
        'epoch_3',
    ]
    for path in published:
        original = load(path.with_name(path.name.split('-')[0] + '.pth'))
        assert load(path).keys() == {'meta', 'state_dict'}
        assert load(path)['meta'] == original['meta']
        assert (verify(path), sidecar(path).is_file()) == (None, True)
    assert find_resumable(tmp_path) == (tmp_path / 'epoch_3.pth', [])


def test_nothing_elsewhere_is_deleted(toy, tmp_path):
    """A run that goes on from a checkpoint of another one leaves that one's files alone, whatever it says."""
    settings = dict(max_keep_ckpts=1, save_best='toy/rising', rule='greater')
    toy.build(tmp_path / 'a', checkpoint=settings).train()
    victim = tmp_path / 'victim.pth'
    victim.write_text('precious')
    checkpoint = load(tmp_path / 'a' / 'epoch_3.pth')
    info = checkpoint['message_hub']['runtime_info']
    (record,) = (key for key in info if key.startswith(OUTDATED))
    info[record] = ['../victim.pth', str(victim), 7, 'epoch_2', '..']
    checkpoint['meta'].update(iter=16, epoch=2)
    torch.save(checkpoint, tmp_path / 'a' / 'epoch_3.pth')
    before = files(tmp_path / 'a')
    toy.build(tmp_path / 'b', resume=True, load_from=str(tmp_path / 'a' / 'epoch_3.pth'), checkpoint=settings).train()
    assert victim.read_text() == 'precious'
    assert files(tmp_path / 'a') == before
    assert 'epoch_3.pth' in files(tmp_path / 'b')


def test_warns_of_checkpoints_of_an_earlier_run(toy, tmp_path, caplog):
    def train(**settings):
        caplog.clear()
        runner = toy.build(tmp_path, **settings)
        runner.logger.addHandler(caplog.handler)
        with caplog.at_level(logging.WARNING):
            runner.train()
        return 'holds checkpoints of an earlier run (epoch_1.pth, epoch_2.pth, epoch_3.pth)' in caplog.text

    assert not train()
    assert train()
    assert not train(resume=True, load_from=str(tmp_path / 'epoch_1.pth'))


def test_registry():
    assert isinstance(HOOKS.build(dict(type='DurableCheckpointHook', interval=3)), DurableCheckpointHook)
