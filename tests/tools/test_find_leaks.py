import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PICTURES = runpy.run_path(str(Path(__file__).parents[1] / 'inspection' / 'pictures.py'))
COPIES = PICTURES['COPIES']

CONFIG = """
default_scope = '{scope}'
custom_imports = dict(imports=['{package}'], allow_failed_imports=False)
train_dataloader = dict(dataset=dict({train}))
val_dataloader = dict(dataset=dict({val}))
test_dataloader = val_dataloader
"""


@pytest.fixture
def tool(load_tool):
    return load_tool('find_leaks.py')


def write_config(folder: Path, scope: str, package: str, **splits: dict) -> Path:
    texts = {split: ', '.join(f'{key}={value!r}' for key, value in found.items()) for split, found in splits.items()}
    (folder / 'config.py').write_text(CONFIG.format(scope=scope, package=package, **texts))
    return folder / 'config.py'


def segmentation(sample: Path, out: Path) -> tuple[Path, list[Path], list[Path], str]:
    """Config, training pictures, files to plant copies in, and what one training picture is called in lists."""
    shutil.copytree(sample / 'kitti_seg', out / 'kitti')
    image_dir, mask_dir = (out / 'kitti' / 'training' / kind for kind in ('image_2', 'semantic'))
    train = (out / 'kitti' / 'train.txt').read_text().split()
    planted = [f'9{number:03}00_10' for number in range(len(COPIES))]
    for stem in planted:
        shutil.copy(mask_dir / f'{train[0]}.png', mask_dir / f'{stem}.png')
    with (out / 'kitti' / 'val.txt').open('a') as file:
        file.write('\n' + '\n'.join(planted) + '\n')
    prefix = dict(img_path='training/image_2', seg_map_path='training/semantic')
    own = dict(type='KITTISegDataset', data_root=str(out / 'kitti'), data_prefix=prefix, label_encoding='label_ids')
    config = write_config(
        out, 'mmseg', 'mmext.segmentation', train=own | dict(ann_file='train.txt'), val=own | dict(ann_file='val.txt')
    )
    return (
        config,
        [image_dir / f'{stem}.png' for stem in train],
        [image_dir / f'{stem}.png' for stem in planted],
        train[0],
    )


def detection(sample: Path, out: Path) -> tuple[Path, list[Path], list[Path], str]:
    shutil.copytree(sample / 'VOCdevkit', out / 'VOCdevkit')
    year = out / 'VOCdevkit' / 'VOC2007'
    train, val = (year / 'ImageSets' / 'Main' / f'{name}.txt' for name in ('trainval', 'test'))
    stems = train.read_text().split()
    planted = [f'9{number:05}' for number in range(len(COPIES))]
    for stem in planted:
        shutil.copy(year / 'Annotations' / f'{stems[0]}.xml', year / 'Annotations' / f'{stem}.xml')
    val.write_text(val.read_text() + '\n'.join(planted) + '\n')
    own = dict(type='VOC0712SplitDataset', data_root=str(out / 'VOCdevkit'))
    config = write_config(out, 'mmdet', 'mmext.detection', train=own | dict(part='train'), val=own | dict(part='val'))
    images = [[year / 'JPEGImages' / f'{stem}.jpg' for stem in names] for names in (stems, planted)]
    return config, *images, stems[0]


def classification(sample: Path, out: Path) -> tuple[Path, list[Path], list[Path], str]:
    shutil.copytree(sample / 'pets', out / 'pets')
    train = sorted((out / 'pets' / 'train').iterdir())
    planted = [out / 'pets' / 'val' / f'cat_{number}.jpg' for number in range(900, 900 + len(COPIES))]
    own = dict(type='FileNameLabelDataset', data_root=str(out / 'pets'), classes=['cat', 'dog'])
    config = write_config(
        out,
        'mmpretrain',
        'mmext.classification',
        train=own | dict(data_prefix='train'),
        val=own | dict(data_prefix='val'),
    )
    return config, train, planted, train[0].name


@pytest.mark.parametrize('make', [segmentation, detection, classification])
def test_planted_copies_are_found_and_left_out(tool, root, tmp_path, capsys, make):
    config, train, planted, first_name = make(root / 'data' / 'samples', tmp_path)
    for index, (path, (copy, _)) in enumerate(zip(planted, COPIES.values(), strict=True)):
        with Image.open(train[index]) as picture:
            # Lossless, whatever the suffix: a copy that was saved anew has the same pixels.
            copy(picture.convert('RGB')).save(path, 'PNG')
    out, exclude, keep = tmp_path / 'out', tmp_path / 'leaks.txt', tmp_path / 'keep.txt'
    lists = ['--exclude-list', str(exclude), '--keep-list', str(keep)]
    assert tool.main([str(config), '--out', str(out), '--workers', '2', *lists]) == 1

    report = json.loads((out / 'leaks.json').read_text())
    errors = {(pair['kind'], pair['first'], pair['second']) for pair in report['pairs'] if pair['level'] == 'error'}
    expected = zip((kind for _, kind in COPIES.values()), map(str, train), map(str, planted), strict=False)
    assert errors == set(expected)
    assert (out / 'leaks.html').read_text().count('<li class="error">') == len(COPIES)
    printed = capsys.readouterr().out
    assert f'{len(COPIES)} leaks' in printed
    assert str(planted[0].name) in printed

    left_out, kept = exclude.read_text().splitlines(), keep.read_text().splitlines()
    assert left_out[0] == first_name
    assert (len(left_out), len(kept)) == (len(COPIES), len(train) - len(COPIES))
    assert not set(left_out) & set(kept)
    if make is detection:
        shutil.copy(keep, tmp_path / 'VOCdevkit' / 'VOC2007' / 'ImageSets' / 'Main' / 'clean.txt')
        options = ['train_dataloader.dataset.sources=[("VOC2007","clean")]']
    else:
        options = [f'train_dataloader.dataset.ann_file={keep}']
    assert tool.main([str(config), '--cfg-options', *options]) == 0
    assert 'no leak' in capsys.readouterr().out


def test_many_pictures_in_a_file(tool, root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(root)
    splits = {
        split: dict(type='SampleCIFAR100', data_root='data/samples/cifar100', split=split)
        for split in ('train', 'test')
    }
    config = write_config(tmp_path, 'mmpretrain', 'mmext.classification', train=splits['train'], val=splits['test'])
    argv = [str(config), '--keep-list', str(tmp_path / 'keep.txt')]
    assert tool.main(argv) == 0
    assert 'train 500, val 200: no leak' in capsys.readouterr().out
    assert (tmp_path / 'keep.txt').read_text().split() == [str(index) for index in range(500)]
    # The same pictures again: all of the training leaks.
    config = write_config(tmp_path, 'mmpretrain', 'mmext.classification', train=splits['train'], val=splits['train'])
    assert tool.main([*argv, '--exclude-list', str(tmp_path / 'leaks.txt')]) == 1
    assert len((tmp_path / 'leaks.txt').read_text().split()) == 500
    assert (tmp_path / 'keep.txt').read_text() == ''


def test_a_folder_and_warnings_alone(tool, tmp_path, capsys):
    for split, numbers in (('train', range(0, 6, 2)), ('val', (3,))):
        (tmp_path / 'data' / split / 'cat').mkdir(parents=True)
        for number in numbers:
            PICTURES['make_photo'](number).save(tmp_path / 'data' / split / 'cat' / f'frame_{number:06d}.png')
    assert tool.main([str(tmp_path / 'data'), '--keep-list', str(tmp_path / 'keep.txt')]) == 0
    printed = capsys.readouterr().out
    assert 'warning' in printed
    assert 'no leak' in printed
    assert (tmp_path / 'keep.txt').read_text().splitlines() == [f'frame_{number:06d}.png' for number in range(0, 6, 2)]


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['missing.py'], 'error: missing.py: no such'),
        (['{data}', '--splits', 'train', 'test'], 'error: --splits test: '),
        (['{data}', '--distance', '99'], 'error: --distance 99: a hash has 64 bits'),
        (['{data}', '--splits', 'val', '--keep-list', '{out}'], 'error: --exclude-list, --keep-list: name training'),
    ],
)
def test_errors_are_one_line_and_write_nothing(tool, tmp_path, capsys, argv, message):
    for split in ('train', 'val'):
        (tmp_path / 'data' / split / 'cat').mkdir(parents=True)
        for number in range(2):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / 'data' / split / 'cat' / f'{number}.png')
    names = dict(data=tmp_path / 'data', out=tmp_path / 'keep.txt')
    assert tool.main([part.format(**names) for part in argv]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().splitlines()[-1].startswith('error: ')
    assert not (tmp_path / 'keep.txt').exists()


def test_unsuitable_expressions_stop_at_the_command_line(tool, capsys):
    with pytest.raises(SystemExit, match='2'):
        tool.main(['data', '--frames', '('])
    assert 'give a regular expression' in capsys.readouterr().err
