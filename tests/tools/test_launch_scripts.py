"""The shell launchers, with a stand-in for python that prints its arguments."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def call(root: Path, tmp_path: Path):
    recorder = tmp_path / 'recorder'
    recorder.write_text('#!/bin/sh\necho "$@" | sed "s#$ROOT##g"\n')
    recorder.chmod(0o755)

    def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        inherited = {k: v for k, v in os.environ.items() if k not in ('PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR')}
        return subprocess.run(
            ['bash', str(root / 'tools' / script), *arguments],
            env={**inherited, 'PYTHON': str(recorder), 'ROOT': f'{root}/', **environment},
            capture_output=True,
            text=True,
        )

    return run


def test_one_machine_takes_a_free_port(call):
    assert call('dist_train.sh', 'c.py', '4', '--amp').stdout.strip() == (
        '-m torch.distributed.run --standalone --nproc-per-node 4 tools/train.py c.py --amp --launcher pytorch'
    )


def test_several_machines_follow_the_environment(call):
    printed = call('dist_train.sh', 'c.py', '8', NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='29600').stdout
    assert '--nnodes 2 --node-rank 1 --master-addr 10.0.0.1 --master-port 29600 --nproc-per-node 8' in printed


def test_a_port_alone_is_honoured(call):
    assert (
        '--nnodes 1 --node-rank 0 --master-addr 127.0.0.1 --master-port 29777'
        in call('dist_train.sh', 'c.py', '2', PORT='29777').stdout
    )


def test_test_takes_the_checkpoint_second(call):
    assert (
        call('dist_test.sh', 'c.py', 'w.pth', '2', '--tta')
        .stdout.strip()
        .endswith('--nproc-per-node 2 tools/test.py c.py w.pth --tta --launcher pytorch')
    )


@pytest.mark.parametrize(('script', 'count'), [('dist_train.sh', 1), ('dist_test.sh', 2), ('slurm_train.sh', 2)])
def test_too_few_arguments_print_the_usage(call, script, count):
    done = call(script, *(['x'] * count))
    assert done.returncode == 2
    assert f'bash tools/{script}' in done.stderr


def test_slurm_asks_for_its_tasks(call, tmp_path):
    (tmp_path / 'srun').write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    printed = call(
        'slurm_train.sh', 'gpu', 'job', 'c.py', '--amp', GPUS='16', PATH=f'{tmp_path}:{os.environ["PATH"]}'
    ).stdout
    assert '--partition=gpu --job-name=job --ntasks=16 --ntasks-per-node=8 --gres=gpu:8' in printed
    assert printed.strip().endswith('tools/train.py c.py --launcher slurm --amp')
