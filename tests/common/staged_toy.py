"""A tiny training for the tests of the staged train loop; also a program that they start, kill and start again."""

import argparse
import copy
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

import mmext.common.loops  # noqa: F401
from mmext.common import running


@DATASETS.register_module()
class ToyPoints(Dataset):
    """Four numbers a sample and one of three classes; a sample knows its index."""

    built = 0

    def __init__(self, samples: int = 12) -> None:
        type(self).built += 1
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(samples, 4, generator=generator)
        self.metainfo = dict(classes=('a', 'b', 'c'))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.inputs[index], labels=index % 3, index=index)


class ToyBackbone(nn.Module):
    """Its ``stem`` it freezes itself, as backbones with ``frozen_stages`` do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 5)
        self.layer1 = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.layer10 = nn.Linear(6, 6)
        self.drop = nn.Dropout(0.5)
        self.stem.requires_grad_(False)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.stem.eval()
        self.stem.requires_grad_(False)
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer10(self.layer1(self.stem(inputs)))


@MODELS.register_module()
class ToyNet(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = ToyBackbone()
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 3)

    def init_weights(self) -> None:
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)

    def forward(self, inputs: Tensor, labels: Tensor, index: Tensor, mode: str = 'tensor') -> dict | list:
        logits = self.head(self.norm(self.backbone(inputs)))
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(logits, labels))
        return list(logits)


@HOOKS.register_module()
class RecordHook(Hook):
    """Writes one line an iteration, with the learning rate and the batch that it was trained with."""

    priority = 'VERY_LOW'

    def __init__(self, path: str, kill_at: int = -1) -> None:
        self.path, self.kill_at = path, kill_at

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        module = runner.model.module if hasattr(runner.model, 'module') else runner.model
        line = dict(
            iter=runner.iter,
            epoch=runner.epoch,
            batch_idx=batch_idx,
            lr=runner.optim_wrapper.get_lr()['lr'],
            index=data_batch['index'].tolist(),
            stage=int(runner.message_hub.get_scalar('train/stage').current()),
            state=len(runner.optim_wrapper.optimizer.state),
            trained=sorted(name for name, value in module.named_parameters() if value.requires_grad),
        )
        with Path(self.path).open('a') as file:
            file.write(json.dumps(line) + '\n')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if runner.iter == self.kill_at:
            os.killpg(os.getpgrp(), signal.SIGKILL)


STAGES = [
    dict(epochs=2, freeze=['backbone'], lr=0.1, batch_size=4, lr_decay=0.5),
    dict(epochs=3, freeze=[], lr=0.02, batch_size=2, lr_decay=0.9),
]


def settings(work_dir: str | Path, stages: Sequence[dict] = STAGES, **changes) -> Config:
    """Settings of a run. Stage 1 has 2 epochs of 3 iterations, stage 2 has 3 epochs of 6."""
    base = dict(
        default_scope='mmengine',
        work_dir=str(work_dir),
        model=dict(type='ToyNet'),
        train_dataloader=dict(
            dataset=dict(type='ToyPoints'),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            batch_size=4,
            num_workers=0,
        ),
        train_cfg=dict(type='StagedTrainLoop', stages=list(stages)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0, momentum=0.9, weight_decay=0.1)),
        param_scheduler=None,
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1), logger=dict(type='LoggerHook', interval=1)
        ),
        custom_hooks=[dict(type='RecordHook', path=str(Path(work_dir) / 'record.jsonl'))],
        randomness=dict(seed=3),
        log_level='ERROR',
    )
    cfg = Config(base)
    cfg.merge_from_dict(copy.deepcopy(changes))  # which takes _delete_ out of them
    return cfg


def build(work_dir: str | Path, stages: Sequence[dict] = STAGES, **changes) -> Runner:
    """A Runner of these settings, named uniquely: mmengine's logger and message hub go by the name."""
    cfg = settings(work_dir, stages, **changes)
    build.count += 1
    cfg.experiment_name = f'toy{build.count}'
    with mock.patch.object(Runner, '_log_env'):  # asks compilers for their versions, which takes seconds
        return Runner.from_cfg(cfg)


build.count = 0


def records(work_dir: str | Path, name: str = 'record.jsonl') -> list[dict]:
    return [json.loads(line) for line in (Path(work_dir) / name).read_text().splitlines()]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('work_dir')
    parser.add_argument('--kill-at', type=int, default=-1)
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--launcher', default='none')
    args = parser.parse_args(argv)
    cfg = settings(args.work_dir)
    cfg.custom_hooks[0].kill_at = args.kill_at
    cfg.train_dataloader.num_workers = args.workers
    cfg.train_dataloader.persistent_workers = args.workers > 0
    running.set_resume(cfg, 'auto')
    running.set_launcher(cfg, args.launcher)
    if args.launcher != 'none':
        rank = os.environ['RANK']
        cfg.custom_hooks[0].path = str(Path(args.work_dir) / f'record{rank}.jsonl')
    with mock.patch.object(Runner, '_log_env'):
        runner = running.build_runner(cfg)
    runner.train()
    if args.launcher != 'none':
        torch.save(runner.model.module.state_dict(), Path(args.work_dir) / f'weights{rank}.pth')
        torch.distributed.destroy_process_group()
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
