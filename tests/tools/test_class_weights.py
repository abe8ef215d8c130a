import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.class_balance import load_class_weight
from mmext.segmentation.datasets.label_maps import CLASSES, LABEL_ID_TO_TRAIN_ID

ROOT = Path(__file__).parents[2]
REAL_FRAMES = ROOT.parent / 'shared' / 'data' / 'kitti' / 'training' / 'semantic'


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/class_weights.py').main


@pytest.fixture
def masks(tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / 'masks'
    folder.mkdir()
    for index in range(3):
        values = rng.choice([0, 7, 8, 21, 23, 26, 33], (37, 124), p=[0.1, 0.3, 0.2, 0.2, 0.1, 0.09, 0.01])
        Image.fromarray(values.astype(np.uint8)).save(folder / f'{index}.png')
    return folder


def check_against_numpy(folder, out):
    content = json.loads((out / 'class_weights_log1p.json').read_text())
    masks = [LABEL_ID_TO_TRAIN_ID[np.asarray(Image.open(path))] for path in sorted(folder.glob('*.png'))]
    pixels = [sum(int((mask == c).sum()) for mask in masks) for c in range(19)]
    assert content['pixels'] == pixels
    assert content['images'] == [sum(bool((mask == c).any()) for mask in masks) for c in range(19)]
    assert content['ignored_pixels'] == sum(int((mask == 255).sum()) for mask in masks)
    assert sum(content['weights']) == pytest.approx(19, abs=1e-9)
    raw = np.array([1 / np.log1p(count) if count else 0 for count in pixels])
    np.testing.assert_allclose(content['weights'], raw * 19 / raw.sum(), rtol=1e-12)
    assert content['scheme'] == 'log1p'
    assert len(content['files_sha256']) == 64
    return content


def test_folder(main, masks, tmp_path, capsys):
    assert main([str(masks), '--out', str(tmp_path / 'out')]) == 0
    content = check_against_numpy(masks, tmp_path / 'out')
    assert 'rider' in content['absent_classes_weigh_0']
    assert load_class_weight(tmp_path / 'out' / 'class_weights_log1p.json', 19, CLASSES) == content['weights']
    picture = Image.open(tmp_path / 'out' / 'class_distribution.png')
    assert picture.width > 500
    printed = capsys.readouterr().out
    for expected in ('3 masks, label_ids', 'vegetation', 'w_c = 1 / ln(1 + n_c)', 'warning: no pixel of building'):
        assert expected in printed


@pytest.mark.skipif(not REAL_FRAMES.is_dir(), reason='the real KITTI frames are not part of the repository')
def test_real_kitti_frames(main, tmp_path):
    assert main([str(REAL_FRAMES), '--out', str(tmp_path)]) == 0
    check_against_numpy(REAL_FRAMES, tmp_path)


def test_config_and_scheme(main, masks, tmp_path, capsys):
    images = tmp_path / 'images'
    images.mkdir()
    for path in masks.iterdir():
        Image.new('RGB', (124, 37)).save(images / path.name)
    config = tmp_path / 'street.py'
    config.write_text(
        "default_scope = 'mmseg'\n"
        "custom_imports = dict(imports=['mmext.segmentation'])\n"
        "train_dataloader = dict(dataset=dict(type='KITTISegDataset', label_encoding='label_ids',\n"
        f'    data_root={str(tmp_path)!r}, data_prefix=dict(img_path="images", seg_map_path="masks"),\n'
        "    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]))\n"
    )
    out = tmp_path / 'out'
    assert main([str(config), '--scheme', 'effective', '--beta', '0.999', '--out', str(out)]) == 0
    content = json.loads((out / 'class_weights_effective.json').read_text())
    assert content['beta'] == 0.999
    assert content['num_files'] == 3
    assert main([str(masks), '--out', str(out)]) == 0
    assert json.loads((out / 'class_weights_log1p.json').read_text())['pixels'] == content['pixels']
    assert main([str(config), '--split', 'val', '--out', str(out)]) == 1
    assert 'no val_dataloader' in capsys.readouterr().err


def test_errors_are_one_line(main, masks, tmp_path, capsys):
    Image.fromarray(np.full((3, 4), 77, np.uint8)).save(masks / 'bad.png')
    assert main([str(masks), '--out', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert 'bad.png: value 77 at 12 pixels' in error
    assert not (tmp_path / 'out').exists()
    assert main([str(tmp_path / 'gone')]) == 1
    assert 'gone: no such config' in capsys.readouterr().err


def test_help_needs_no_toolbox():
    command = [sys.executable, str(ROOT / 'tools/analysis/class_weights.py'), '--help']
    assert '--scheme' in subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
