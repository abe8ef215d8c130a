"""Preparing VOC: unpacking, and the proof that the parts are whole and disjoint."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from mmext.common.archives import ArchiveError
from mmext.detection.datasets.voc_preparation import MANIFEST, OFFICIAL_MD5, prepare_voc
from mmext.detection.datasets.voc_split_check import check_split

DOG = '<object><name>dog</name><truncated>1</truncated><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>2</ymin>'
DOG += '<xmax>30</xmax><ymax>20</ymax></bndbox></object>'
PARTS = {
    ('VOC2007', 'trainval'): ['000001', '000003'],
    ('VOC2007', 'test'): ['000002'],
    ('VOC2012', 'val'): ['2008_000001', '2009_000001'],
}


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    color = tuple(np.random.default_rng(seed).integers(0, 255, 3).tolist())
    Image.new('RGB', (32, 24), color).save(file, 'JPEG')
    return file.getvalue()


def annotation(*objects: str) -> bytes:
    return f'<annotation><size><width>32</width><height>24</height></size>{"".join(objects)}</annotation>'.encode()


def devkit_files(year: str, name: str) -> dict[str, bytes]:
    """Path below VOCdevkit -> content, for one list: each image has a dog, and a second, difficult one."""
    files = {f'{year}/ImageSets/Main/{name}.txt': ''.join(f'{stem}\n' for stem in PARTS[year, name]).encode()}
    for stem in PARTS[year, name]:
        files[f'{year}/JPEGImages/{stem}.jpg'] = jpeg(int(stem.replace('_', '')))
        files[f'{year}/Annotations/{stem}.xml'] = annotation(DOG.format(0, 1), DOG.format(1, 9))
    return files


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / 'VOCdevkit'
    for part in PARTS:
        for name, content in devkit_files(*part).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    return root


@pytest.fixture
def tars(tmp_path):
    paths = []
    for part in PARTS:
        paths.append(tmp_path / f'{"_".join(part)}.tar')
        with tarfile.open(paths[-1], 'w') as tar:
            for name, content in devkit_files(*part).items():
                info = tarfile.TarInfo(f'VOCdevkit/{name}')
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return paths


def everything(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_sums_are_those_of_torchvision():
    voc = pytest.importorskip('torchvision.datasets.voc')
    published = {entry['filename']: entry['md5'] for key, entry in voc.DATASET_YEAR_DICT.items() if key != '2008'}
    assert OFFICIAL_MD5.items() <= published.items()


def test_from_archives_to_one_folder(devkit, tars, tmp_path):
    report = prepare_voc(tmp_path / 'out', tars)
    assert not report.all_errors()
    written = everything(tmp_path / 'out')
    manifest = json.loads(written.pop(MANIFEST))
    assert written == everything(devkit)
    assert sum('no sum is known' in note for note in report.notes) == 3
    assert [(part['images'], part['objects'], part['difficult']) for part in manifest['parts'].values()] == [
        (2, 2, 2),
        (1, 1, 1),
        (2, 2, 2),
    ]
    assert manifest['parts']['train']['classes']['dog'] == dict(images=2, objects=2, difficult=2)
    assert manifest['parts']['train']['classes']['cat'] == dict(images=0, objects=0, difficult=0)
    assert manifest['parts']['train']['truncated'] == 4
    image = devkit / 'VOC2012/JPEGImages/2009_000001.jpg'
    assert manifest['parts']['test']['sha256']['VOC2012/2009_000001'] == hashlib.sha256(image.read_bytes()).hexdigest()


def test_again_is_the_same(tars, tmp_path):
    prepare_voc(tmp_path / 'out', tars)
    before = everything(tmp_path / 'out')
    before.pop(MANIFEST)
    report = prepare_voc(tmp_path / 'out', tars)
    assert any('0 files unpacked, 5 were there' in note for note in report.notes)
    after = everything(tmp_path / 'out')
    after.pop(MANIFEST)
    assert after == before


def test_corrected_annotations_survive_unpacking(tars, tmp_path):
    prepare_voc(tmp_path / 'out', tars)
    corrected = tmp_path / 'out/VOC2007/Annotations/000001.xml'
    corrected.write_bytes(annotation(DOG.format(0, 5)))
    report = prepare_voc(tmp_path / 'out', tars)
    assert any('1 files of other content were there and kept' in note for note in report.notes)
    assert corrected.read_bytes() == annotation(DOG.format(0, 5))


def test_damaged_official_archive_is_refused_before_any_is_unpacked(tars, tmp_path):
    official = tmp_path / 'VOCtest_06-Nov-2007.tar'
    tars[1].rename(official)
    with pytest.raises(ArchiveError, match=r'VOCtest.*MD5 is \w+, published is b6e924de25625d8de591ea690078ad9f'):
        prepare_voc(tmp_path / 'out', [tars[0], official])
    assert not (tmp_path / 'out').exists()


def test_official_archive_is_verified(tars, tmp_path, monkeypatch):
    official = tmp_path / 'VOCtest_06-Nov-2007.tar'
    tars[1].rename(official)
    monkeypatch.setitem(OFFICIAL_MD5, official.name, hashlib.md5(official.read_bytes()).hexdigest())
    report = prepare_voc(tmp_path / 'out', [tars[0], official, tars[2]])
    assert sum('no sum is known' in note for note in report.notes) == 2


def test_check_only_writes_nothing(devkit, tars):
    before = everything(devkit)
    assert not prepare_voc(devkit, check_only=True).all_errors()
    assert everything(devkit) == before
    with pytest.raises(ValueError, match='unpacks nothing'):
        prepare_voc(devkit, tars, check_only=True)


def test_small_lists_are_named(devkit):
    notes = check_split(devkit).notes
    assert notes == [
        'train: 2 images, the official lists have 5011: not the whole part',
        'val: 1 images, the official lists have 4952: not the whole part',
        'test: 2 images, the official lists have 5823: not the whole part',
    ]


def test_same_bytes_in_two_parts(devkit):
    (devkit / 'VOC2012/JPEGImages/2008_000001.jpg').write_bytes(jpeg(1))
    (error,) = check_split(devkit).all_errors()
    assert error.startswith('1 image files have the same bytes in two parts: train (VOC2007/000001)')
    assert 'test (VOC2012/2008_000001)' in error


def test_same_bytes_within_a_part_are_a_note(devkit):
    (devkit / 'VOC2007/JPEGImages/000003.jpg').write_bytes(jpeg(1))
    report = check_split(devkit)
    assert not report.all_errors()
    assert any(
        'twice, with the same bytes: train (VOC2007/000001) and train (VOC2007/000003)' in x for x in report.notes
    )


def test_same_id_in_two_parts(devkit):
    (devkit / 'VOC2007/ImageSets/Main/test.txt').write_text('000002\n000003\n')
    errors = check_split(devkit).all_errors()
    assert any(
        'pictures are in two parts: train (VOC2007/000003) and val (VOC2007/000003)' in error for error in errors
    )


def test_picture_of_2007_under_its_id_of_2012(devkit):
    """VOC2012 calls picture 000003 of VOC2007 2007_000003; saved anew, its bytes differ."""
    for kind, content in (('JPEGImages', jpeg(99)), ('Annotations', annotation(DOG.format(0, 1)))):
        (devkit / 'VOC2012' / kind / f'2007_000003.{"jpg" if kind == "JPEGImages" else "xml"}').write_bytes(content)
    (devkit / 'VOC2012/ImageSets/Main/val.txt').write_text('2008_000001\n2007_000003\n')
    (error,) = check_split(devkit).all_errors()
    assert '1 pictures are in two parts: train (VOC2007/000003) and test (VOC2012/2007_000003)' in error


def test_problems_of_files_are_collected(devkit):
    (devkit / 'VOC2007/JPEGImages/000001.jpg').unlink()
    (devkit / 'VOC2007/Annotations/000002.xml').write_bytes(annotation(DOG.format(0, 0)))
    (devkit / 'VOC2012/Annotations/2008_000001.xml').write_bytes(b'<annotation>')
    image = devkit / 'VOC2012/JPEGImages/2009_000001.jpg'
    Image.effect_noise((32, 24), 50).save(image)
    image.write_bytes(image.read_bytes()[:-200])
    report = prepare_voc(devkit)
    kinds = [problem.kind for problem in report.problems]
    assert kinds == ['missing_image', 'box_outside', 'malformed_xml', 'unreadable_image']
    assert len(report.all_errors()) == 3
    manifest = json.loads((devkit / MANIFEST).read_text())
    assert manifest['problem_counts'] == dict.fromkeys(kinds, 1)
    assert manifest['problems'][1]['value'].startswith('(0, 2, 30, 20)')
    assert manifest['parts']['val']['objects'] == 1
    assert set(manifest['parts']['test']['sha256']) == set()


def test_rules_reach_the_check(devkit):
    (devkit / 'VOC2007/Annotations/000002.xml').write_bytes(annotation(DOG.format(0, 30)))
    assert [error.split(': ')[1] for error in check_split(devkit).all_errors()] == ['empty box']
    report = check_split(devkit, {'empty_box': 'drop'})
    assert not report.all_errors()
    assert report.to_json()['problem_counts'] == {'empty_box': 1}
    assert report.to_json()['rules']['empty_box'] == 'drop'


def test_missing_part_is_an_error_and_the_others_are_counted(devkit):
    (devkit / 'VOC2012/ImageSets/Main/val.txt').unlink()
    report = check_split(devkit)
    assert list(report.parts) == ['train', 'val']
    assert 'val.txt: the list is missing' in report.all_errors()[0]


def test_bad_list_is_reported_once(devkit):
    (devkit / 'VOC2007/ImageSets/Main/test.txt').write_text('000002\n000002\n')
    (error,) = check_split(devkit).all_errors()
    assert 'lists 000002 2 times' in error


def test_nothing_there(tmp_path):
    report = prepare_voc(tmp_path / 'nowhere')
    assert len(report.all_errors()) == 3
    assert report.tables() == []
    assert not (tmp_path / 'nowhere').exists()


def test_train_and_val_against_trainval(devkit):
    lists = devkit / 'VOC2007/ImageSets/Main'
    (lists / 'train.txt').write_text('000001\n')
    (lists / 'val.txt').write_text('000003\n')
    assert not check_split(devkit).all_errors()
    (lists / 'val.txt').write_text('000001\n')
    both, odd = check_split(devkit).all_errors()
    assert 'train and val both list 000001' in both
    assert 'trainval is not train and val together, 1 ids differ: 000003' in odd


def test_files_in_no_list_are_a_note(devkit):
    for number in range(5):
        (devkit / f'VOC2012/JPEGImages/2010_00000{number}.jpg').write_bytes(jpeg(number + 50))
    report = check_split(devkit)
    assert not report.all_errors()
    assert any(
        '5 files are in no list of the main task: 2010_000000, 2010_000001, 2010_000002, ...' in x for x in report.notes
    )


def test_tables(devkit):
    assert len(check_split(devkit).tables()) == 2
    (devkit / 'VOC2007/Annotations/000002.xml').write_bytes(annotation())
    parts, classes, problems = check_split(devkit).tables()
    assert [table.row_count for table in (parts, classes, problems)] == [3, 20, 1]
