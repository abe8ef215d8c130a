"""The two tools as a user runs them, on the embedded sample with a few iterations."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

CONFIG = 'configs/quickstart.py'
# Ten iterations at a size that takes a fraction of a second each.
SHORT = [
    'train_cfg.max_iters=10',
    'train_cfg.val_interval=10',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
    'default_hooks.checkpoint.interval=5',
    'default_hooks.logger.interval=5',
]
# Two iterations, and three frames (an odd number, for two processes) to validate and test on.
FEW = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'val_dataloader.dataset.indices=3',
    'test_dataloader.dataset.indices=3',
]
pytestmark = pytest.mark.slow


def run(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [*arguments], cwd=root, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope='module')
def trained(root: Path, tmp_path_factory) -> tuple[Path, str]:
    """Work dir and output of a short quickstart."""
    work_dir = tmp_path_factory.mktemp('train')
    command = [sys.executable, 'tools/train.py', CONFIG, '--work-dir', str(work_dir), '--seed', '0']
    done = run(root, *command, '--cfg-options', *SHORT)
    return work_dir, done.stdout + done.stderr


def scalars(work_dir: Path) -> list[dict]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_shows_progress_and_ends_with_a_summary(trained):
    work_dir, output = trained
    assert re.search(r'Iter\(train\) \[10/10\].*eta: .*loss:', output)
    assert re.search(r'\|\s+motorcycle\s+\|', output)
    assert 'best checkpoint' in output
    assert re.search(r'pictures \(8\): .*vis_image', output)
    assert list(work_dir.glob('best_mIoU_iter_10.pth'))
    pictures = list(work_dir.glob('*/vis_data/vis_image/*.png'))
    assert len(pictures) == 8
    assert 'mIoU' in scalars(work_dir)[-1]


def evaluate(prediction_dir: Path, truth_dir: Path, decode: np.ndarray) -> float:
    """mIoU in percent by plain counting; `decode` maps stored values to trainIds."""
    from mmext.segmentation.datasets.label_maps import LABEL_ID_TO_TRAIN_ID

    hits, seen = np.zeros(19), np.zeros(19)
    for path in sorted(prediction_dir.glob('*.png')):
        truth = LABEL_ID_TO_TRAIN_ID[np.asarray(Image.open(truth_dir / path.name))]
        prediction = decode[np.asarray(Image.open(path))]
        valid = truth != 255
        for c in range(19):
            hits[c] += ((prediction == c) & (truth == c)).sum()
            seen[c] += (((prediction == c) & valid) | (truth == c)).sum()
    with np.errstate(invalid='ignore'):
        return float(np.nanmean(hits / seen) * 100)


def test_label_images_read_back_to_the_same_score(trained, root, sample, tmp_path, load_tool):
    from mmext.segmentation.datasets.label_maps import LABEL_ID_TO_TRAIN_ID

    work_dir, _ = trained
    truth = sample / 'training' / 'semantic'
    for flags, decode in (([], np.arange(256)), (['--label-ids'], LABEL_ID_TO_TRAIN_ID)):
        out = tmp_path / f'labels{len(flags)}'
        command = [sys.executable, 'tools/test.py', CONFIG, str(work_dir / 'iter_10.pth')]
        command += ['--work-dir', str(tmp_path / f'test{len(flags)}'), '--out-labels', str(out), *flags]
        done = run(root, *command, '--show-dir', str(tmp_path / 'shown'), '--cfg-options', *SHORT)
        reported = float(re.search(r'mIoU: ([\d.]+)', done.stdout + done.stderr).group(1))
        assert reported == pytest.approx(scalars(work_dir)[-1]['mIoU'], abs=1e-4)
        assert evaluate(out, truth, decode) == pytest.approx(reported, abs=0.006)
    assert len(list((tmp_path / 'shown').glob('test_*.png'))) == 8


def test_killed_run_goes_on_and_ends(root, tmp_path):
    options = [*SHORT, 'train_cfg.max_iters=30', 'train_cfg.val_interval=30', 'default_hooks.logger.interval=1']
    command = [sys.executable, 'tools/train.py', CONFIG, '--work-dir', str(tmp_path), '--seed', '0']
    # Workers would outlive a killed parent: the whole process group is killed.
    victim = subprocess.Popen(
        [*command, '--cfg-options', *options],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / 'iter_10.pth').exists():
        assert victim.poll() is None, 'ended before it could be killed'
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    done = run(root, *command, '--resume', 'auto', '--cfg-options', *options)
    output = done.stdout + done.stderr
    first = int(re.search(r'Iter\(train\) \[\s*(\d+)/30\]', output).group(1))
    assert first in (6, 11, 16), 'training did not go on from a checkpoint'
    assert (tmp_path / 'iter_30.pth').exists()
    assert 'best checkpoint' in output


GLOO = """
_base_ = ['{root}/configs/segmentation/basicnet/basicnet_1xb4-180e_kitti-256x864.py']
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(96, 64), keep_ratio=False),
    dict(type='PackSegInputs'),
]
model = dict(
    data_preprocessor=dict(size=(64, 96)),
    backbone=dict(dropout_ratio=0.0),
    decode_head=dict(output_hw=(64, 96), dropout_ratio=0.0))
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=False),
    dataset=dict(data_root='{data}', pipeline=pipeline))
val_dataloader, val_cfg, val_evaluator = None, None, None
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.05))
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=3)
default_hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook', by_epoch=False, interval=3))
"""


def test_two_processes_learn_what_one_learns(root, tmp_path):
    """Same global batch, no batch norm, no dropout, no ignored pixels: the mean of the gradients is the gradient."""
    rng = np.random.default_rng(0)
    for part in ('train', 'val'):
        for kind in ('img_dir', 'ann_dir'):
            (tmp_path / 'data' / kind / part).mkdir(parents=True)
        for name in 'abcdef':
            image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / 'data' / 'img_dir' / part / f'{name}.png')
            Image.fromarray(image[..., 0] % 19).save(tmp_path / 'data' / 'ann_dir' / part / f'{name}.png')
    config = tmp_path / 'gloo.py'
    config.write_text(GLOO.format(root=root, data=tmp_path / 'data'))
    one, two = tmp_path / 'one', tmp_path / 'two'
    run(root, sys.executable, 'tools/train.py', str(config), '--work-dir', str(one), '--seed', '0')
    flags = ['--work-dir', str(two), '--seed', '0', '--cfg-options', 'train_dataloader.batch_size=1']
    # A port of an outer launcher must not be inherited: the free one is what is tested.
    run(root, 'bash', 'tools/dist_train.sh', str(config), '2', *flags, PYTHON=sys.executable, PORT='', NNODES='')
    weights = [torch.load(d / 'iter_3.pth', weights_only=False, map_location='cpu')['state_dict'] for d in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)


def test_two_processes_validate_too(root, tmp_path):
    flags = ['--work-dir', str(tmp_path), '--cfg-options', *SHORT, *FEW]
    run(root, 'bash', 'tools/dist_train.sh', CONFIG, '2', *flags, PYTHON=sys.executable, PORT='', NNODES='')
    assert 'mIoU' in scalars(tmp_path)[-1]
    flags = ['--work-dir', str(tmp_path / 'test'), '--out-labels', str(tmp_path / 'labels')]
    arguments = [CONFIG, str(tmp_path / 'iter_2.pth'), '2', *flags, '--cfg-options', *SHORT, *FEW]
    run(root, 'bash', 'tools/dist_test.sh', *arguments, PYTHON=sys.executable, PORT='', NNODES='')
    assert len(list((tmp_path / 'labels').glob('*.png'))) == 3


def test_label_ids_need_a_folder(load_tool, capsys):
    with pytest.raises(SystemExit):
        load_tool('test.py').parse_args(['c', 'p', '--label-ids'])
    assert '--out-labels DIR' in capsys.readouterr().err


PRETRAINED = 'configs/segmentation/segformer/segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368.py'


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        ('test.py', [CONFIG, 'none.pth'], 'none.pth: no such checkpoint'),
        ('test.py', ['none.py', 'none.pth'], 'none.py: no such config'),
        ('test.py', [CONFIG, CONFIG], f'{CONFIG}: '),
        ('train.py', ['none.py'], 'none.py: no such config'),
        ('train.py', [PRETRAINED], 'checkpoints/mit_b0.pth: weights are missing'),
        ('train.py', [CONFIG, '--resume', 'none.pth'], 'none.pth: no such checkpoint'),
        ('train.py', [CONFIG, '--resume', CONFIG], f'{CONFIG}: '),
        ('train.py', [CONFIG, '--amp'], '--amp: '),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(load_tool, in_root, capsys, tmp_path, tool, arguments, message):
    assert load_tool(tool).main([*arguments, '--work-dir', str(tmp_path / 'run')]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert [line.startswith(f'error: {message}') for line in printed] == [True], printed
    assert not (tmp_path / 'run').exists()


def test_a_part_that_cannot_be_built_is_told_in_one_line(load_tool, in_root, capsys, tmp_path):
    options = ['--skip-data-check', '--cfg-options', 'train_dataloader.dataset.ann_file=none.txt', *SHORT]
    assert load_tool('train.py').main([CONFIG, '--work-dir', str(tmp_path), *options]) == 1
    assert re.search(r'^error: .*none\.txt', capsys.readouterr().err, re.MULTILINE)


def test_faulty_data_stop_a_training_before_it_begins(load_tool, in_root, capsys, tmp_path):
    options = ['--cfg-options', 'train_dataloader.dataset.ann_file=none.txt', *SHORT]
    assert load_tool('train.py').main([CONFIG, '--work-dir', str(tmp_path), *options]) == 1
    error = capsys.readouterr().err
    assert re.search('^error: the data cannot be trained on as they are', error, re.MULTILINE)
    assert 'none.txt' in error
    assert '--skip-data-check trains without looking' in error
    assert not list(tmp_path.glob('*.pth'))


def test_classes_in_another_order_are_not_tested(load_tool, in_root, capsys, tmp_path):
    from mmext.segmentation.datasets.label_maps import CLASSES

    meta = dict(dataset_meta=dict(classes=(CLASSES[1], CLASSES[0], *CLASSES[2:])))
    torch.save(dict(state_dict={'x': torch.ones(1)}, meta=meta), tmp_path / 'other.pth')
    arguments = [CONFIG, str(tmp_path / 'other.pth'), '--work-dir', str(tmp_path / 'run')]
    assert load_tool('test.py').main(arguments) == 1
    error = capsys.readouterr().err
    assert re.search('^error: other.pth cannot be tested on this data', error, re.MULTILINE)
    assert CLASSES[0] in error
    assert CLASSES[1] in error


def test_upstreams_own_scripts_run_the_quickstart(root, tmp_path):
    import mmseg

    scripts = Path(mmseg.__file__).parent / '.mim' / 'tools'
    options = ['--cfg-options', *SHORT, *FEW]
    run(root, sys.executable, str(scripts / 'train.py'), CONFIG, '--work-dir', str(tmp_path), *options)
    command = [sys.executable, str(scripts / 'test.py'), CONFIG, str(tmp_path / 'iter_2.pth')]
    run(root, *command, '--work-dir', str(tmp_path / 'test'), '--show-dir', str(tmp_path / 'shown'), *options)
    assert len(list((tmp_path / 'shown').rglob('*.png'))) == 3


def test_same_seed_gives_the_same_weights(root, tmp_path):
    options = [*SHORT, 'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2']
    weights = []
    for name in 'ab':
        command = [sys.executable, 'tools/train.py', CONFIG, '--work-dir', str(tmp_path / name), '--seed', '3']
        run(root, *command, '--deterministic', '--auto-scale-lr', '--cfg-options', *options)
        checkpoint = torch.load(tmp_path / name / 'iter_2.pth', weights_only=False, map_location='cpu')
        weights.append(checkpoint['state_dict'])
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
