"""What the train and test tools share: from a config and command-line options to a Runner, on GPUs or without.

No toolbox is imported here: the config's ``default_scope`` and ``custom_imports`` decide which one the Runner uses.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint


def load_config(path: str, cfg_options: dict | None = None, work_dir: str | None = None) -> Config:
    """Read a config and settle its work dir: the argument, else the config's own, else ``work_dirs/<config name>``.

    Raises:
        FileNotFoundError: no such config; names configs of a similar name.
    """
    if not Path(path).is_file():
        root = Path('configs')
        similar = sorted(str(found) for found in root.rglob('*.py') if Path(path).stem in found.stem)
        hint = f'did you mean {", ".join(similar[:3])}?' if similar else 'the configs are below configs/'
        raise FileNotFoundError(f'{path}: no such config; {hint}')
    cfg = Config.fromfile(path)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(path).stem)
    return cfg


def enable_amp(cfg: Config) -> None:
    """Switch the optimiser wrapper to automatic mixed precision with a dynamic loss scale.

    Raises:
        ValueError: another wrapper than upstream's plain one, or no GPU, which mmengine's wrapper demands.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp: optim_wrapper has type {kind}; only OptimWrapper can be switched to AmpOptimWrapper')
    if get_device() in ('cpu', 'mps'):
        raise ValueError(f'--amp: mixed precision needs a GPU, this machine has {get_device()} only; omit the flag')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate by (actual total batch) / ``auto_scale_lr.base_batch_size``."""
    if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
        raise ValueError(
            '--auto-scale-lr: the config names no batch size that its learning rate was chosen for; '
            'add auto_scale_lr = dict(base_batch_size=<total batch>)'
        )
    cfg.auto_scale_lr.enable = True


def set_resume(cfg: Config, resume: str | None) -> None:
    """Go on from a checkpoint: a path, or with ``'auto'`` the newest one of the work dir; none there starts anew.

    Whoever goes on needs no pretrained weights any more; whoever starts anew does.
    """
    if resume is None:
        return
    if resume == 'auto':
        resume = find_latest_checkpoint(cfg.work_dir)
        if resume is None:
            return
    elif not Path(resume).is_file():
        raise FileNotFoundError(f'{resume}: no such checkpoint; --resume without a path takes the newest one')
    cfg.resume, cfg.load_from = True, resume
    drop_pretrained(cfg, teacher=False)


def set_randomness(cfg: Config, seed: int | None, deterministic: bool) -> None:
    """Seed all generators; ``deterministic`` also forbids algorithms that may differ between runs."""
    cfg.randomness = dict(seed=None) | dict(cfg.get('randomness', {}))
    if seed is not None:
        cfg.randomness.seed = seed
    if deterministic:
        cfg.randomness.deterministic = True


def local_weights(cfg: Config) -> Iterator[str]:
    """Paths of all local weight files that building the model or starting the run will read."""
    yield from _weight_settings(cfg)


def _weight_settings(cfg: Config) -> dict[str, list[str]]:
    """Local weight file -> names of the settings that ask for it, in the order of the config."""

    def walk(node: Any, name: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, dict):
            if node.get('type') == 'Pretrained' and node.get('checkpoint'):
                yield node['checkpoint'], name
            for key, value in node.items():
                if key == 'teacher_checkpoint':
                    yield value, f'{name}.{key}'
                elif key != 'teacher':  # its initial weights are not read: its checkpoint holds all
                    yield from walk(value, f'{name}.{key}')
        elif isinstance(node, (list, tuple)):
            for index, value in enumerate(node):
                yield from walk(value, f'{name}.{index}')

    settings: dict[str, list[str]] = {}
    for path, name in [*walk(cfg.get('model', {}), 'model'), (cfg.get('load_from'), 'load_from')]:
        if path and '://' not in path:
            settings.setdefault(path, []).append(name)
    return settings


def check_weights(cfg: Config) -> None:
    """Raise before anything is built when a weight file that the config names is not there.

    Raises:
        FileNotFoundError: names the file and where its address stands.
    """
    model = cfg.get('model', {})
    for path, names in _weight_settings(cfg).items():
        if path == model.get('teacher_checkpoint'):
            check_teacher(path, model.teacher)
        elif not Path(path).is_file():
            raise FileNotFoundError(
                f'{path}: weights are missing; metafile.yml beside the config names their source, '
                f'tools/prepare/convert_*.py convert them. To train from scratch instead: '
                f'--cfg-options {" ".join(f"{name}=None" for name in names)}'
            )


def check_teacher(checkpoint: str, teacher: Any) -> None:
    """Raise if the checkpoint of a distiller's teacher is not there.

    Raises:
        FileNotFoundError: names the file and how to get it.
    """
    if not Path(checkpoint).is_file():
        config = teacher if isinstance(teacher, str) else '<config of the teacher>'
        raise FileNotFoundError(
            f'{checkpoint}: the checkpoint of the teacher is missing; train it first: python tools/train.py {config}; '
            f'or name another file: --cfg-options model.teacher_checkpoint=FILE'
        )


def drop_pretrained(cfg: Config, teacher: bool = True) -> None:
    """Remove pretrained weights from the model's settings: a checkpoint with all weights is loaded after building.

    Args:
        cfg: Changed in place.
        teacher: Also those of a distiller's teacher, which then has random weights if it is built at all. A training
            that goes on needs them: no checkpoint of the student holds them.
    """

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get('init_cfg'), dict) and node['init_cfg'].get('type') == 'Pretrained':
                node['init_cfg'] = None
            if 'pretrained' in node:
                node['pretrained'] = None
            if teacher and 'teacher_checkpoint' in node:
                node['teacher_checkpoint'] = None
            for value in node.values():
                walk(value)
        elif isinstance(node, (list, tuple)):
            for value in node:
                walk(value)

    walk(cfg.get('model', {}))


def enable_tta(cfg: Config) -> None:
    """Test with the config's ``tta_pipeline``: its views are merged by its ``tta_model``."""
    for name in ('tta_pipeline', 'tta_model'):
        if name not in cfg:
            raise ValueError(f'--tta: the config has no {name}')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)


def set_launcher(cfg: Config, launcher: str) -> None:
    """Prepare a distributed run; without a GPU the process group is gloo and the model stays on the CPU.

    mmengine selects a CUDA device for every launcher, also where there is none. A process group that exists already
    makes the Runner skip that, and a wrapper without device ids keeps it from naming a device.
    """
    cfg.launcher = launcher
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher == 'slurm':
        _export_slurm_ranks()
    if not torch_dist.is_initialized():
        torch_dist.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg.sync_bn = None  # synchronised batch norm needs GPUs


def _export_slurm_ranks() -> None:
    for name, source in (('RANK', 'PROCID'), ('WORLD_SIZE', 'NTASKS'), ('LOCAL_RANK', 'LOCALID')):
        os.environ[name] = os.environ[f'SLURM_{source}']
    if 'MASTER_ADDR' not in os.environ:
        command = ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']]
        hosts = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        os.environ['MASTER_ADDR'] = hosts[0]


def build_runner(cfg: Config) -> Runner:
    """The Runner of the config, or the custom one that ``runner_type`` names."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
