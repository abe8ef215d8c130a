"""``tools/test.py --tta`` on the embedded sample, with everything that it can write."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

CONFIG = 'configs/quickstart.py'
OPTIONS = [
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
    'test_dataloader.dataset.indices=2',
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def checkpoint(root, tmp_path_factory):
    """Random weights of the quickstart's model."""
    from mmext.analysis.model_from_config import build_model, load_config

    path = tmp_path_factory.mktemp('weights') / 'random.pth'
    torch.save({'state_dict': build_model(load_config(root / CONFIG)).state_dict()}, path)
    return path


def read_labels(folder):
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob('*.png'))}


def test_labels_and_pictures_of_merged_views(root, checkpoint, tmp_path):
    labels = {}
    for kind in ('StreamingTTA', 'SegTTAModel'):
        out = tmp_path / kind
        command = [sys.executable, 'tools/test.py', CONFIG, str(checkpoint), '--tta', '--work-dir', str(out / 'work')]
        command += ['--show-dir', str(out / 'shown'), '--out-labels', str(out / 'labels'), '--label-ids']
        command += ['--cfg-options', *OPTIONS, f'tta_model.type={kind}']
        # A process of its own: the visualizer, with its folder, is one for the whole process.
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert 'mIoU: ' in done.stdout + done.stderr
        labels[kind] = read_labels(out / 'labels')
        assert len(list((out / 'shown').glob('test_*.png'))) == 2
    ours, theirs = labels.values()
    assert len(ours) == 2
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values.shape == theirs[name].shape
        assert (values == theirs[name]).mean() > 0.999
        assert len(np.unique(values)) > 1


def test_streaming_is_what_the_configs_name(root):
    from mmengine.config import Config

    assert Config.fromfile(root / CONFIG).tta_model == dict(type='StreamingTTA')
