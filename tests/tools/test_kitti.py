import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REAL = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'kitti'


@pytest.fixture
def tool(load_tool):
    return load_tool('prepare/kitti.py')


def test_sample_is_prepared_and_reported(tool, sample, tmp_path, capsys):
    assert tool.main([str(sample), str(tmp_path / 'out'), '--val-count', '8', '--seed', '1']) == 0
    assert '24 train, 8 val; the raw masks hold label_ids' in capsys.readouterr().out
    split = json.loads((tmp_path / 'out' / 'split.json').read_text())
    assert len(split['train']) == 24


def test_groups_stay_together(tool, sample, tmp_path, capsys):
    argv = [str(sample), str(tmp_path / 'out'), '--val-count', '10', '--group-by', '^[0-9]{5}']
    assert tool.main(argv) == 0
    assert '22 train, 10 val' in capsys.readouterr().out
    split = json.loads((tmp_path / 'out' / 'split.json').read_text())
    assert len({stem[:5] for stem in split['val']}) == 1
    assert tool.main([*argv[:-1], 'drive']) == 1
    assert "error: --group-by 'drive': does not match 000000_10" in capsys.readouterr().err


def test_errors_are_one_line(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path), str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: {tmp_path}/training/image_2: no PNG files')
    assert error.count('\n') == 1


@pytest.mark.skipif(not REAL.is_dir(), reason='real KITTI frames are not on this machine')
def test_real_frames_equal_the_official_table(tool, tmp_path):
    from cityscapesscripts.helpers.labels import id2label

    assert tool.main([str(REAL), str(tmp_path / 'out'), '--val-count', '1']) == 0
    for written in (tmp_path / 'out' / 'ann_dir').rglob('*.png'):
        ids = np.asarray(Image.open(REAL / 'training' / 'semantic' / written.name))
        expected = np.vectorize(lambda value: id2label[value].trainId)(ids)
        np.testing.assert_array_equal(np.asarray(Image.open(written)), expected)
