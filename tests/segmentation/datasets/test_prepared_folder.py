import pytest

from mmext.segmentation.datasets.prepared_folder import claim_folder, place_file


def test_claims_a_new_folder_and_knows_it_again(tmp_path):
    claim_folder(tmp_path / 'out', {'val': ['a']})
    claim_folder(tmp_path / 'out', {'val': ['a']})
    assert sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / 'out').rglob('*')) == [
        *('out/ann_dir', 'out/ann_dir/train', 'out/ann_dir/val'),
        *('out/img_dir', 'out/img_dir/train', 'out/img_dir/val', 'out/split.json'),
    ]


def test_refuses_another_manifest_and_foreign_files(tmp_path):
    claim_folder(tmp_path / 'out', {'val': ['a']})
    with pytest.raises(FileExistsError, match='another split'):
        claim_folder(tmp_path / 'out', {'val': ['b']})
    with pytest.raises(FileExistsError, match='holds other files'):
        claim_folder(tmp_path, {})


@pytest.mark.parametrize('copy', [True, False])
def test_places_a_file_over_an_earlier_one(tmp_path, copy):
    source, target = tmp_path / 'a' / 'x.jpg', tmp_path / 'b' / 'x.jpg'
    source.parent.mkdir()
    source.write_bytes(b'picture')
    for _ in range(2):
        place_file(source, target, copy)
    assert target.read_bytes() == b'picture'
    assert target.is_symlink() != copy
    if not copy:
        assert target.readlink().as_posix() == '../a/x.jpg'
