import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.segmentation.datasets.kitti_preparation import find_pairs, prepare_kitti, read_val_list, split_stems
from mmext.segmentation.datasets.label_encoding import MaskError
from mmext.segmentation.datasets.label_maps import to_colors, to_label_ids

ENCODERS = {'train_ids': lambda mask: mask, 'label_ids': to_label_ids, 'colors': to_colors}


def make_raw(folder: Path, encoding: str = 'label_ids', frames: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = {}
    for kind in ('image_2', 'semantic'):
        (folder / 'training' / kind).mkdir(parents=True)
    for index in range(frames):
        stem = f'{index:06d}_10'
        masks[stem] = rng.integers(0, 19, (8, 10), dtype=np.uint8)
        masks[stem][0, 0] = 255
        image = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / 'training' / 'image_2' / f'{stem}.png')
        Image.fromarray(ENCODERS[encoding](masks[stem])).save(folder / 'training' / 'semantic' / f'{stem}.png')
    return masks


@pytest.mark.parametrize('encoding', ENCODERS)
def test_all_encodings_end_as_the_same_train_ids(tmp_path, encoding):
    masks = make_raw(tmp_path / 'raw', encoding)
    split = prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=2)
    assert split.encoding == encoding
    assert (len(split.train), len(split.val)) == (4, 2)
    for part, stems in (('train', split.train), ('val', split.val)):
        for stem in stems:
            written = np.asarray(Image.open(tmp_path / 'out' / 'ann_dir' / part / f'{stem}.png'))
            np.testing.assert_array_equal(written, masks[stem])
            assert (tmp_path / 'out' / 'img_dir' / part / f'{stem}.png').is_symlink()


def test_parts_are_disjoint_complete_and_repeatable():
    stems = [f'{index:06d}_10' for index in range(200)]
    train, val = split_stems(stems, 50, seed=0)
    assert (len(train), len(val)) == (150, 50)
    assert sorted(train + val) == stems
    assert split_stems(stems[::-1], 50, seed=0) == (train, val)
    assert split_stems(stems, 50, seed=1) != (train, val)
    assert val[:4] == ['000000_10', '000003_10', '000010_10', '000015_10']


def test_same_command_again_is_fine_and_completes(tmp_path):
    make_raw(tmp_path / 'raw')
    split = prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=2)
    lost = tmp_path / 'out' / 'ann_dir' / 'val' / f'{split.val[0]}.png'
    lost.unlink()
    assert prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=2) == split
    assert lost.is_file()
    assert not list((tmp_path / 'out').rglob('*.part'))


def test_another_split_is_not_mixed_in(tmp_path):
    make_raw(tmp_path / 'raw')
    prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=2)
    with pytest.raises(FileExistsError, match='another split'):
        prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=3)
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='holds other files'):
        prepare_kitti(tmp_path / 'raw', tmp_path / 'other', val_count=2)


def test_copies_are_files(tmp_path):
    make_raw(tmp_path / 'raw')
    split = prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=2, copy=True)
    copied = tmp_path / 'out' / 'img_dir' / 'val' / f'{split.val[0]}.png'
    assert not copied.is_symlink()
    assert copied.read_bytes() == (tmp_path / 'raw/training/image_2' / copied.name).read_bytes()


def test_list_decides(tmp_path):
    make_raw(tmp_path / 'raw')
    (tmp_path / 'val.txt').write_text('000003_10\n000001_10.png\n\n')
    split = prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_list=tmp_path / 'val.txt')
    assert split.val == ['000001_10', '000003_10']
    assert json.loads((tmp_path / 'out' / 'split.json').read_text())['val'] == split.val


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('x_10\n', 'x_10 is no labelled frame'),
        ('a\na\n', 'a is listed twice'),
        ('', 'lists 0 of 2'),
        ('a\nb', '2 of 2'),
    ],
)
def test_bad_lists(tmp_path, text, message):
    (tmp_path / 'val.txt').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_val_list(tmp_path / 'val.txt', ['a', 'b'])


def test_second_stereo_frames_are_left_out(tmp_path):
    make_raw(tmp_path)
    Image.new('RGB', (10, 8)).save(tmp_path / 'training' / 'image_2' / '000000_11.png')
    assert '000000_11' not in find_pairs(tmp_path)


@pytest.mark.parametrize(('kind', 'missing'), [('image_2', 'image'), ('semantic', 'mask')])
def test_half_pairs_are_named(tmp_path, kind, missing):
    make_raw(tmp_path)
    (tmp_path / 'training' / kind / '000002_10.png').unlink()
    with pytest.raises(MaskError, match=rf'000002_10\.png: {missing} is missing'):
        find_pairs(tmp_path)


def test_faulty_mask_leaves_nothing_behind(tmp_path):
    make_raw(tmp_path / 'raw')
    Image.new('L', (10, 7)).save(tmp_path / 'raw' / 'training' / 'semantic' / '000002_10.png')
    with pytest.raises(MaskError, match='mask is 7 x 10, its image is 8 x 10'):
        prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=2)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('count', [0, 6, 50])
def test_val_count_must_leave_both_parts(tmp_path, count):
    make_raw(tmp_path / 'raw')
    with pytest.raises(ValueError, match=rf'--val-count {count}: must be between 1 and 5'):
        prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=count)


def test_groups_of_frames_stay_together():
    stems = [f'{index:06d}_10' for index in range(200)]
    train, val = split_stems(stems, 50, seed=0, group_by='^[0-9]{5}')
    assert (len(train), len(val)) == (150, 50)
    assert not {stem[:5] for stem in train} & {stem[:5] for stem in val}
    assert split_stems(stems[::-1], 50, seed=0, group_by='^[0-9]{5}') == (train, val)
    assert split_stems(stems, 50, seed=1, group_by='^[0-9]{5}') != (train, val)


def test_groups_reach_the_folder(tmp_path):
    make_raw(tmp_path / 'raw')
    split = prepare_kitti(tmp_path / 'raw', tmp_path / 'out', val_count=3, group_by='^00000(?:(?=[012])|[345])')
    assert split.val in ([f'00000{index}_10' for index in part] for part in ('012', '345'))
    with pytest.raises(ValueError, match=r"--group-by '\^x': does not match 000000_10 \(6 of 6 names\)"):
        prepare_kitti(tmp_path / 'raw', tmp_path / 'other', val_count=3, group_by='^x')
    assert not (tmp_path / 'other').exists()


def test_groups_and_a_list_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match=r'--group-by .*val.txt names the validation frames already'):
        prepare_kitti(tmp_path, tmp_path / 'out', val_list=tmp_path / 'val.txt', group_by='^.')
