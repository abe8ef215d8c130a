"""What the train and test tools share: from a config and command-line options to a Runner, on GPUs or without.

No toolbox is imported here: the config's ``default_scope`` and ``custom_imports`` decide which one the Runner uses.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmext.common.checkpoint_container import kind_of
from mmext.common.checkpoint_files import CheckpointWriteError, verify
from mmext.common.checkpoints import CheckpointError, read_checkpoint, use_safe_loading
from mmext.common.config_files import building, misspelt_names, read_config
from mmext.common.durable_runner import DurableRunner, newest_checkpoint
from mmext.common.weight_files import WeightsError

# What a config, an option or a file can be wrong in: told in one line. Anything else is a fault of the program.
PREPARATION_ERRORS = (OSError, ValueError)
# What can become of files while a training runs.
STORAGE_ERRORS = (WeightsError, CheckpointWriteError)


def report(error: Exception) -> int:
    """Print an error in one line, once for all processes; the exit code of a tool that it ends."""
    if os.environ.get('RANK', '0') == '0':
        print(f'error: {error}', file=sys.stderr)
    return 1


def load_config(path: str, cfg_options: dict | None = None, work_dir: str | None = None) -> Config:
    """Read a config and settle its work dir: the argument, else the config's own, else ``work_dirs/<config name>``.

    A name at its top that is most likely misspelt is told of on stderr.

    Raises:
        FileNotFoundError: no such config; names configs of a similar name.
        ConfigError: a config or an option that cannot be used.
    """
    if not Path(path).is_file():
        root = Path('configs')
        similar = sorted(str(found) for found in root.rglob('*.py') if Path(path).stem in found.stem)
        hint = f'did you mean {", ".join(similar[:3])}?' if similar else 'the configs are below configs/'
        raise FileNotFoundError(f'{path}: no such config; {hint}')
    cfg = read_config(path, cfg_options)
    for name, meant in misspelt_names(cfg).items():
        if os.environ.get('RANK', '0') == '0':
            print(f'warning: {path}: nothing reads {name!r}; did you mean {meant!r}?', file=sys.stderr)
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
    """Go on from a checkpoint: a path, or with ``'auto'`` the newest sound one of the work dir; none there starts anew.

    Whoever goes on needs no pretrained weights any more; whoever starts anew does.

    Raises:
        FileNotFoundError: no such checkpoint.
        CheckpointError: the checkpoint that was named is truncated or damaged.
    """
    if resume is None:
        return
    if resume == 'auto':
        resume = newest_checkpoint(cfg.work_dir)
        if resume is None:
            return
    elif not Path(resume).is_file():
        raise FileNotFoundError(f'{resume}: no such checkpoint; --resume without a path takes the newest one')
    # What is no checkpoint is called by its name; an old pickle is read, or refused, when the runner is built.
    elif kind_of(Path(resume)) == 'zip' and (reason := verify(resume)):
        raise CheckpointError(f'{resume}: {reason}; --resume without a path takes the newest one that is sound')
    cfg.resume, cfg.load_from = True, str(resume)
    drop_pretrained(cfg, teacher=False)


def set_checkpoint(cfg: Config, checkpoint: str) -> dict:
    """Start with all weights of a checkpoint: no other weights are looked for.

    Returns:
        What the checkpoint says of itself, its ``meta``.

    Raises:
        FileNotFoundError: no such checkpoint.
        CheckpointError: it is truncated or damaged, or would run code when it is read.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'{checkpoint}: no such checkpoint')
    content = read_checkpoint(checkpoint, 'meta')  # before a model is built for it
    cfg.load_from = checkpoint
    drop_pretrained(cfg)
    return content.get('meta') or {}


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
    """The Runner of the config: a `DurableRunner`, or the custom one that ``runner_type`` names.

    Raises:
        ConfigError: a part of the config cannot be built; names the type and the argument.
    """
    use_safe_loading()
    with building(cfg.filename or 'config'):
        return RUNNERS.build(cfg) if 'runner_type' in cfg else DurableRunner.from_cfg(cfg)


def build_loops(runner: Runner, *names: str) -> None:
    """Build loops with their datasets, which a Runner puts off: what is wrong with them shows before anything begins.

    Args:
        runner: The Runner.
        names: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        ConfigError: as `build_runner`.
    """
    with building(runner.cfg.filename or 'config'):
        for name in names:
            getattr(runner, f'{name}_loop')  # a property that builds what it returns
