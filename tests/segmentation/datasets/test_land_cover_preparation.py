import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.samples.land_cover import write_tiles
from mmext.segmentation.datasets.label_encoding import MaskError
from mmext.segmentation.datasets.land_cover import PALETTE
from mmext.segmentation.datasets.land_cover_preparation import find_pairs, prepare_land_cover, to_class_indices

SIZE_HW = (16, 24)
colors = np.array(PALETTE, dtype=np.uint8)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_tiles(tmp_path / 'raw', range(6), SIZE_HW)
    return tmp_path / 'raw'


def test_colours_become_the_indices_that_they_were_drawn_from(tmp_path):
    train = write_tiles(tmp_path / 'train', range(4), SIZE_HW)
    val = write_tiles(tmp_path / 'validation', range(2), SIZE_HW, seed=1)
    split = prepare_land_cover(tmp_path / 'train', tmp_path / 'out', tmp_path / 'validation')
    assert (split.train, split.val) == (['0000', '0001', '0002', '0003'], ['0000', '0001'])
    for part, tiles in (('train', train), ('val', val)):
        for index, labels in enumerate(tiles):
            stored = Image.open(tmp_path / 'out' / 'ann_dir' / part / f'{index:04d}_mask.png')
            assert stored.mode == 'L'
            np.testing.assert_array_equal(np.asarray(stored), labels)
            assert (tmp_path / 'out' / 'img_dir' / part / f'{index:04d}_sat.jpg').is_symlink()


def test_prepared_folder_is_what_the_data_set_reads(raw, tmp_path):
    from mmseg.registry import DATASETS

    prepare_land_cover(raw, tmp_path / 'out', val_count=2)
    prefix = dict(img_path='img_dir/val', seg_map_path='ann_dir/val')
    dataset = DATASETS.build(dict(type='LandCoverDataset', data_root=str(tmp_path / 'out'), data_prefix=prefix))
    assert len(dataset) == 2


def test_drawn_part_is_repeatable_and_disjoint(raw, tmp_path):
    first, second = (prepare_land_cover(raw, tmp_path / name, val_count=2, seed=5) for name in 'ab')
    assert first == second
    assert sorted(first.train + first.val) == [f'{index:04d}' for index in range(6)]
    assert len(first.val) == 2


def test_list_decides(raw, tmp_path):
    (tmp_path / 'val.txt').write_text('0004\n0001\n')
    assert prepare_land_cover(raw, tmp_path / 'out', val_list=tmp_path / 'val.txt').val == ['0001', '0004']
    assert json.loads((tmp_path / 'out' / 'split.json').read_text())['tolerance'] == 0


def test_same_command_again_completes_and_another_is_refused(raw, tmp_path):
    prepare_land_cover(raw, tmp_path / 'out', val_count=2)
    lost = next((tmp_path / 'out' / 'ann_dir' / 'train').glob('*.png'))
    lost.unlink()
    prepare_land_cover(raw, tmp_path / 'out', val_count=2)
    assert lost.is_file()
    assert not list((tmp_path / 'out').rglob('*.part'))
    with pytest.raises(FileExistsError, match='another split'):
        prepare_land_cover(raw, tmp_path / 'out', val_count=3)


def test_copies_are_files(raw, tmp_path):
    prepare_land_cover(raw, tmp_path / 'out', val_count=2, copy=True)
    copied = next((tmp_path / 'out' / 'img_dir' / 'train').glob('*.jpg'))
    assert not copied.is_symlink()
    assert copied.read_bytes() == (raw / copied.name).read_bytes()


@pytest.mark.parametrize(
    ('name', 'missing'), [('0002_sat.jpg', r'0002_sat\.jpg: picture'), ('0002_mask.png', r'0002_mask\.png: mask')]
)
def test_half_pairs_are_named(raw, name, missing):
    (raw / name).unlink()
    with pytest.raises(MaskError, match=rf'{missing} is missing \(1 of 6\)'):
        find_pairs(raw)


def test_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no \*_sat\.jpg files; name the folder'):
        find_pairs(tmp_path)


def test_faulty_input_leaves_nothing_behind(raw, tmp_path):
    Image.new('RGB', (SIZE_HW[1], SIZE_HW[0] + 1)).save(raw / '0003_mask.png')
    with pytest.raises(MaskError, match=r'0003_mask\.png: mask is 17 x 24, its image is 16 x 24'):
        prepare_land_cover(raw, tmp_path / 'out', val_count=2)
    assert not (tmp_path / 'out').exists()


def test_without_noise_only_the_listed_colours_pass():
    labels = np.arange(7).repeat(2).reshape(2, 7)
    np.testing.assert_array_equal(to_class_indices(colors[labels]), labels)
    mask = colors[labels].copy()
    mask[0, 4:6] = (250, 3, 255)
    message = (
        r'0001_mask\.png: colour #fa03ff at 2 pixels \(1 such colours, 2 pixels\) .* rangeland, 5 away: --tolerance 5'
    )
    with pytest.raises(MaskError, match=message):
        to_class_indices(mask, path='0001_mask.png')
    with pytest.raises(MaskError, match='rangeland, 5 away'):
        to_class_indices(mask, tolerance=4)
    labels[0, 4:6] = 2
    np.testing.assert_array_equal(to_class_indices(mask, tolerance=5), labels)


def test_tolerance_127_is_the_evaluations_cut_at_128():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    codes = (mask >= 128) @ np.array([4, 2, 1])
    mask[codes == 4] = 0  # red belongs to no class
    codes = (mask >= 128) @ np.array([4, 2, 1])
    expected = np.array([6, 4, 3, 0, 255, 2, 1, 5])[codes]
    np.testing.assert_array_equal(to_class_indices(mask, tolerance=127), expected)


def test_compression_noise_is_undone(tmp_path):
    (labels,) = write_tiles(tmp_path, [0], (64, 64))
    noise = np.random.default_rng(0).integers(-40, 41, (64, 64, 3))
    noisy = (colors[labels].astype(int) + noise).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(to_class_indices(noisy, tolerance=40), labels)


def test_colours_of_no_class_may_become_unknown():
    mask = colors[np.arange(7)[None]].copy()
    mask[0, 0] = (255, 0, 0)
    with pytest.raises(MaskError, match=r'#ff0000 at 1 pixels .* 255 away: --others-unknown makes it unknown'):
        to_class_indices(mask, tolerance=127)
    assert to_class_indices(mask, others_unknown=True)[0].tolist() == [6, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize('tolerance', [-1, 128])
def test_tolerance_has_a_range(tolerance):
    with pytest.raises(ValueError, match=rf'--tolerance {tolerance}: between 0 and 127'):
        to_class_indices(colors[None], tolerance)


def test_one_channel_is_refused():
    with pytest.raises(MaskError, match='mask has one channel, colours were expected'):
        to_class_indices(np.zeros((4, 4), np.uint8))


def test_the_most_frequent_foreign_colour_is_named():
    mask = np.zeros((1, 6, 3), np.uint8)
    mask[0, :2], mask[0, 2:5] = (0, 0, 9), (0, 8, 0)
    with pytest.raises(MaskError, match=r'#000800 at 3 pixels \(2 such colours, 5 pixels\) .* is unknown, 8 away'):
        to_class_indices(mask)


def test_tiles_of_one_picture_stay_together(raw, tmp_path):
    # 0000 and 0001 are one group, every other tile is its own.
    for seed in range(5):
        split = prepare_land_cover(raw, tmp_path / str(seed), val_count=2, seed=seed, group_by='^000(?=[01])|^000[2-5]')
        assert len(split.val) == 2
        assert len({'0000', '0001'} & set(split.val)) != 1


@pytest.mark.parametrize('source', ['val_raw', 'val_list'])
def test_groups_go_with_a_draw_only(raw, tmp_path, source):
    with pytest.raises(ValueError, match=r'--group-by .* holds the validation pairs already'):
        prepare_land_cover(raw, tmp_path / 'out', group_by='^.', **{source: tmp_path / 'val'})
