import numpy as np
import pytest
from PIL import Image

from mmext.segmentation.datasets.label_encoding import to_train_ids

SMALL = [
    'model.backbone.base_channels=8',
    'model.backbone.stem_channels=8',
    'model.decode_head.in_channels=[8,16,32,64]',
    'model.decode_head.channels=8',
]
QUICKSTART = 'configs/quickstart.py'

pytestmark = pytest.mark.usefixtures('in_root', 'mmseg_scope')


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/compare_models.py')


def test_writes_labels_colours_and_one_figure(tool, sample, tmp_path, capsys):
    frames = [str(path) for path in sorted((sample / 'training/image_2').glob('*.png'))[:2]]
    models = ['--model', 'one', QUICKSTART, '--model', 'two', QUICKSTART]
    truth = ['--truth', str(sample / 'training/semantic'), '--label-ids']
    assert tool.main([*frames, *models, *truth, '--out', str(tmp_path), '--cfg-options', *SMALL]) == 0
    assert 'one: ' in capsys.readouterr().out
    stem = frames[0].rpartition('/')[2].removesuffix('.png')
    labels = Image.open(tmp_path / 'one' / f'{stem}_labels.png')
    color = Image.open(tmp_path / 'one' / f'{stem}_color.png')
    assert labels.mode == 'L'
    assert labels.size == Image.open(frames[0]).size
    np.testing.assert_array_equal(np.asarray(color), np.asarray(labels))
    from mmext.segmentation.datasets.label_maps import to_colors

    np.testing.assert_array_equal(np.asarray(color.convert('RGB')), to_colors(np.asarray(labels)))
    with Image.open(tmp_path / 'comparison.png') as figure:
        assert figure.width > figure.height / 2
    assert (tmp_path / 'two' / f'{stem}_labels.png').read_bytes() == (
        tmp_path / 'one' / f'{stem}_labels.png'
    ).read_bytes()


def test_truth_of_label_ids(tool, sample):
    path = sorted((sample / 'training/semantic').glob('*.png'))[0]
    stored = np.asarray(Image.open(path))
    np.testing.assert_array_equal(tool.read_truth(path, label_ids=True), to_train_ids(stored, 'label_ids'))
    np.testing.assert_array_equal(tool.read_truth(path, label_ids=False), stored)


def test_faults_are_named(tool, sample, tmp_path, capsys):
    frame = str(sorted((sample / 'training/image_2').glob('*.png'))[0])
    assert tool.main(['nothing.png', '--model', 'a', QUICKSTART, '--out', str(tmp_path)]) == 1
    assert 'error: nothing.png: no picture that can be used (No such file' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([frame, '--model', 'a', QUICKSTART, '--model', 'a', QUICKSTART, '--out', str(tmp_path)])
    assert 'a name of its own' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([frame, '--model', 'a', '--out', str(tmp_path)])
    assert 'expected NAME CONFIG [CHECKPOINT]' in capsys.readouterr().err
