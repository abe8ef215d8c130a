import os
import re
import socket
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmext.common import running
from mmext.common.checkpoints import CheckpointError
from mmext.common.weight_files import write_state_dict


def write(path: Path, text: str = '') -> str:
    path.write_text(text)
    return str(path)


def save(path: Path, iteration: int = 2) -> str:
    """A checkpoint that a training can go on from."""
    torch.save(dict(meta=dict(iter=iteration, epoch=0, seed=5), state_dict={}, optimizer={}), path)
    return str(path)


def test_work_dir_argument_wins_over_config_over_name(tmp_path):
    named = write(tmp_path / 'a.py', "work_dir = 'from_config'")
    assert running.load_config(named, work_dir='given').work_dir == 'given'
    assert running.load_config(named).work_dir == 'from_config'
    assert running.load_config(write(tmp_path / 'b.py', 'x = 1')).work_dir == str(Path('work_dirs/b'))


def test_options_override_nested_settings(tmp_path):
    path = write(tmp_path / 'a.py', 'a = dict(b=1, c=2)')
    assert running.load_config(path, {'a.b': 3}).a.to_dict() == {'b': 3, 'c': 2}


def test_unknown_config_names_similar_ones(in_root):
    with pytest.raises(FileNotFoundError, match=r'did you mean configs/quickstart\.py'):
        running.load_config('quickstart.py')
    with pytest.raises(FileNotFoundError, match='configs are below'):
        running.load_config('nothing_like_it.py')


def test_amp_keeps_a_loss_scale_that_is_set(monkeypatch):
    monkeypatch.setattr(running, 'get_device', lambda: 'cuda')
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper')))
    running.enable_amp(cfg)
    assert cfg.optim_wrapper.to_dict() == {'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic'}
    cfg.optim_wrapper.loss_scale = 512.0
    running.enable_amp(cfg)
    assert cfg.optim_wrapper.loss_scale == 512.0
    with pytest.raises(ValueError, match='type Other'):
        running.enable_amp(Config(dict(optim_wrapper=dict(type='Other'))))


def test_amp_without_a_gpu_says_so(monkeypatch):
    monkeypatch.setattr(running, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match='needs a GPU, this machine has cpu only'):
        running.enable_amp(Config(dict(optim_wrapper=dict(type='OptimWrapper'))))


def test_auto_scale_lr_needs_a_base():
    cfg = Config(dict(auto_scale_lr=dict(enable=False, base_batch_size=8)))
    running.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable
    with pytest.raises(ValueError, match='base_batch_size'):
        running.enable_auto_scale_lr(Config(dict(x=1)))


def test_resume_from_newest_and_from_path(tmp_path):
    def settings() -> Config:
        return Config(dict(load_from='pretrained.pth', work_dir=str(tmp_path), model=MODEL))

    cfg = settings()
    running.set_resume(cfg, None)
    assert 'resume' not in cfg
    running.set_resume(cfg, 'auto')
    assert ('resume' in cfg, cfg.load_from) == (False, 'pretrained.pth'), 'a first start keeps its initial weights'
    checkpoint = save(tmp_path / 'iter_2.pth')
    write(tmp_path / 'last_checkpoint', checkpoint)
    running.set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, checkpoint)
    assert list(running.local_weights(cfg)) == [checkpoint]
    cfg = settings()
    running.set_resume(cfg, checkpoint)
    assert (cfg.resume, cfg.load_from) == (True, checkpoint)
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        running.set_resume(cfg, 'none.pth')


def test_damaged_checkpoints_are_passed_over_or_refused(tmp_path, capsys):
    before, last = (tmp_path / f'iter_{number}.pth' for number in (2, 4))
    save(before, 2)
    save(last, 4)
    last.write_bytes(last.read_bytes()[:-50])
    cfg = Config(dict(work_dir=str(tmp_path)))
    running.set_resume(cfg, 'auto')
    assert cfg.load_from == str(before)
    message = capsys.readouterr().err
    assert f'warning: {last}: passed over: is truncated' in message
    assert f'warning: going on from {before}' in message
    with pytest.raises(
        CheckpointError, match=r'iter_4\.pth: is truncated .*; --resume without a path takes the newest'
    ):
        running.set_resume(cfg, str(last))
    before.write_bytes(b'')
    cfg = Config(dict(work_dir=str(tmp_path)))
    running.set_resume(cfg, 'auto')
    assert 'resume' not in cfg
    assert 'nothing to go on from; the training begins anew' in capsys.readouterr().err


def test_testing_takes_all_weights_from_a_sound_checkpoint(tmp_path):
    cfg = Config(dict(model=MODEL))
    with pytest.raises(FileNotFoundError, match=r'none\.pth: no such checkpoint'):
        running.set_checkpoint(cfg, 'none.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth'):
        running.set_checkpoint(cfg, write(tmp_path / 'a.pth', 'no checkpoint'))
    checkpoint = save(tmp_path / 'iter_2.pth')
    running.set_checkpoint(cfg, checkpoint)
    assert list(running.local_weights(cfg)) == [checkpoint]
    tensors = tmp_path / 'weights.safetensors'
    write_state_dict(tensors, dict(a=torch.ones(1)))
    running.set_checkpoint(cfg, str(tensors))


def test_errors_are_told_in_one_line_by_one_process(monkeypatch, capsys):
    monkeypatch.delenv('RANK', raising=False)
    assert running.report(ValueError('x.py: y; z')) == 1
    assert capsys.readouterr().err == 'error: x.py: y; z\n'
    monkeypatch.setenv('RANK', '1')
    assert running.report(ValueError('x')) == 1
    assert capsys.readouterr().err == ''


def test_randomness():
    cfg = Config(dict(randomness=dict(seed=3)))
    running.set_randomness(cfg, None, deterministic=True)
    assert cfg.randomness.to_dict() == {'seed': 3, 'deterministic': True}
    running.set_randomness(cfg, 0, deterministic=False)
    assert cfg.randomness.seed == 0
    plain = Config(dict(x=1))
    running.set_randomness(plain, None, deterministic=False)
    assert plain.randomness.to_dict() == {'seed': None}


MODEL = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mit.pth'), pretrained='x'),
    heads=[dict(init_cfg=dict(type='Pretrained', checkpoint='https://example.org/a.pth'))],
    neck=dict(init_cfg=dict(type='Normal')),
)


def test_local_weights_are_found_everywhere_and_addresses_are_left_out():
    assert list(running.local_weights(Config(dict(model=MODEL, load_from='full.pth')))) == ['mit.pth', 'full.pth']


def test_missing_weights_are_named_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = Config(dict(model=MODEL, load_from=None))
    with pytest.raises(FileNotFoundError, match=r'mit\.pth: weights are missing; metafile\.yml'):
        running.check_weights(cfg)
    (tmp_path / 'mit.pth').touch()
    running.check_weights(cfg)


def test_missing_weights_name_every_setting_that_asks_for_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = dict(init_cfg=dict(type='Pretrained', checkpoint='r50.pth'))
    cfg = Config(dict(model=dict(backbone=part, roi_head=dict(shared_head=part), neck=[part]), load_from='r50.pth'))
    settings = 'model.backbone.init_cfg=None model.roi_head.shared_head.init_cfg=None model.neck.0.init_cfg=None'
    with pytest.raises(FileNotFoundError, match=rf'--cfg-options {re.escape(settings)} load_from=None$'):
        running.check_weights(cfg)


def test_drop_pretrained_keeps_other_initialisations():
    cfg = Config(dict(model=MODEL))
    running.drop_pretrained(cfg)
    assert cfg.model.backbone.to_dict() == {'init_cfg': None, 'pretrained': None}
    assert cfg.model.heads[0].init_cfg is None
    assert cfg.model.neck.init_cfg.type == 'Normal'


def test_tta_wraps_the_model():
    settings = dict(
        model=dict(type='Net'),
        tta_model=dict(type='Merge'),
        tta_pipeline=[dict(type='Views')],
        test_dataloader=dict(dataset=dict(pipeline=[])),
    )
    cfg = Config(settings)
    running.enable_tta(cfg)
    assert cfg.model.to_dict() == {'type': 'Merge', 'module': {'type': 'Net'}}
    assert cfg.test_dataloader.dataset.pipeline[0].type == 'Views'
    with pytest.raises(ValueError, match='no tta_pipeline'):
        running.enable_tta(Config(dict(model=dict(type='Net'))))


@pytest.mark.skipif(torch.cuda.is_available(), reason='checks the way without a GPU')
def test_launcher_without_gpu_starts_gloo(monkeypatch, tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\necho 127.0.0.1\necho 127.0.0.2\n')
    scontrol.chmod(0o755)
    environment = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', SLURM_NODELIST='n[1-2]')
    for name, value in dict(environment, MASTER_PORT=port, PATH=f'{tmp_path}:{os.environ["PATH"]}').items():
        monkeypatch.setenv(name, value)
    for name in ('MASTER_ADDR', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, 'unset')  # so that monkeypatch restores what the launcher sets
        monkeypatch.delenv(name)
    cfg = Config(dict(sync_bn='torch'))
    try:
        running.set_launcher(cfg, 'slurm')
        assert torch.distributed.get_backend() == 'gloo'
        assert os.environ['MASTER_ADDR'] == '127.0.0.1'
        assert cfg.model_wrapper_cfg.device_ids is None
        assert cfg.sync_bn is None
    finally:
        torch.distributed.destroy_process_group()


def test_no_launcher_changes_nothing():
    cfg = Config(dict(sync_bn='torch'))
    running.set_launcher(cfg, 'none')
    assert cfg.to_dict() == {'sync_bn': 'torch', 'launcher': 'none'}


TEACHER = 'configs/teacher.py'


def distillation(teacher) -> Config:
    """A distiller whose student starts from mit.pth and whose teacher was trained into teacher.pth."""
    student = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mit.pth')))
    return Config(dict(model=dict(student=student, teacher=teacher, teacher_checkpoint='teacher.pth')))


@pytest.mark.parametrize('teacher', [TEACHER, MODEL])
def test_weights_of_a_distillation_are_the_students_and_one_file_of_the_teacher(teacher):
    assert sorted(running.local_weights(distillation(teacher))) == ['mit.pth', 'teacher.pth']


@pytest.mark.parametrize(('teacher', 'command'), [(TEACHER, TEACHER), (MODEL, '<config of the teacher>')])
def test_missing_teacher_says_how_to_train_it(teacher, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'mit.pth').touch()
    with pytest.raises(FileNotFoundError, match=rf'teacher\.pth: .*train it first: python tools/train\.py {command};'):
        running.check_weights(distillation(teacher))
    (tmp_path / 'teacher.pth').touch()
    running.check_weights(distillation(teacher))


def test_resuming_keeps_the_teacher_and_drops_the_rest(tmp_path):
    cfg = distillation(TEACHER)
    cfg.work_dir = str(tmp_path)
    checkpoint = save(tmp_path / 'iter_2.pth')
    running.set_resume(cfg, checkpoint)
    assert list(running.local_weights(cfg)) == ['teacher.pth', checkpoint]
    running.drop_pretrained(cfg)
    assert cfg.model.teacher_checkpoint is None
    assert list(running.local_weights(cfg)) == [checkpoint]
