"""The quick check of the data, its cache, its hash, and how it stops a training."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from PIL import Image

from mmext.inspection import data_hash, quick_check, quick_files
from mmext.inspection.listing import Sample, read_listing
from mmext.inspection.passport import Finding
from mmext.inspection.quick_check import DataCheckError, DataHashHook, QuickReport, check_data, error_message
from mmext.inspection.quick_files import look_at
from mmext.inspection.quick_findings import ranges, worst_files

EMPTY = Image.new('RGB', (4, 4))


@pytest.fixture
def checked(clean, tmp_path, monkeypatch):
    """Call ``checked(task)`` for a folder and its config; the config is listed as the folder that it names."""

    def make(task: str = 'segmentation') -> tuple[Path, Config]:
        folder = clean(task)
        loader = dict(dataset=dict(type='Toy', data_root=str(folder)))
        cfg = Config(dict(train_dataloader=loader, val_dataloader=loader, work_dir=str(tmp_path / 'work')))

        def read(part: Config):
            folder = Path(part.get('train_dataloader', part.get('test_dataloader')).dataset.data_root)
            listing = read_listing(folder)
            if listing.task == 'segmentation':
                # As a config would have it: every image has a mask, and the classes are known.
                listing.values = {0: 0, 1: 1, 2: 2, 255: 255}
                for split, samples in listing.splits.items():
                    for sample in samples:
                        sample.annotation = folder / 'labels' / split / sample.image.name
            if 'test_dataloader' in part:
                listing.splits = {'test': listing.splits['val']}
            return listing

        monkeypatch.setattr(quick_check, 'read_listing', read)
        monkeypatch.setattr(data_hash, 'read_listing', read)
        return folder, cfg

    return make


def check(cfg: Config) -> QuickReport:
    return quick_check.quick_check(cfg, cfg.work_dir)


def kinds(report: QuickReport) -> dict[str, list[str]]:
    return {finding.kind: [Path(file).name for file in finding.files] for finding in report.findings}


@pytest.mark.parametrize('task', ['segmentation', 'detection', 'classification'])
def test_clean_data_have_no_findings_and_a_hash(task, checked):
    _, cfg = checked(task)
    report = check(cfg)
    assert report.findings == []
    assert report.samples == {name: report.samples[name] for name in ('train', 'val')}
    assert report.data_hash.startswith('full:')
    assert set(report.split_hashes) == {'train', 'val'}
    assert not report.cached
    assert json.loads((Path(cfg.work_dir) / 'data_check.json').read_text())['data_hash'] == report.data_hash


def test_the_second_time_nothing_is_opened(checked, monkeypatch):
    _, cfg = checked()
    first = check(cfg)
    monkeypatch.setattr(quick_check, 'read_listing', None)
    second = check(cfg)
    assert second.cached
    assert (second.data_hash, second.samples) == (first.data_hash, first.samples)


def touch_later(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


@pytest.mark.parametrize('change', ['edited', 'touched', 'added', 'removed', 'list', 'settings', 'damaged state'])
def test_every_change_is_noticed(change, checked):
    folder, cfg = checked()
    mask = folder / 'labels' / 'train' / '03.png'
    first = check(cfg)
    if change == 'edited':
        mask.write_bytes(mask.read_bytes() + b'x')
    elif change == 'touched':
        touch_later(mask)
    elif change == 'added':
        for kind in ('images', 'labels'):
            shutil.copy(folder / kind / 'train' / '03.png', folder / kind / 'train' / '99.png')
    elif change == 'removed':
        mask.unlink()
        (folder / 'images' / 'train' / '03.png').unlink()
    elif change == 'list':
        (folder / 'classes.txt').write_text('road\ncar\nair\n')
    elif change == 'settings':
        cfg.train_dataloader.dataset.ignore_index = 254
    else:
        (Path(cfg.work_dir) / 'data_check_state.json').write_text('{"key": 1')
    second = check(cfg)
    assert not second.cached
    assert (second.data_hash != first.data_hash) == (change in ('edited', 'added', 'removed'))
    assert check(cfg).cached


def test_planted_faults_are_found_and_clean_files_are_not(checked):
    folder, cfg = checked()
    images, labels = folder / 'images' / 'train', folder / 'labels' / 'train'
    (images / '00.png').write_bytes(b'')
    (images / '01.png').write_bytes((images / '01.png').read_bytes()[:3000])
    (images / '02.png').write_bytes(b'no picture at all')
    (labels / '03.png').unlink()
    Image.open(labels / '04.png').resize((30, 20), 0).save(labels / '04.png')
    mask = np.asarray(Image.open(labels / '05.png')).copy()
    mask[10, :5] = 77
    Image.fromarray(mask).save(labels / '05.png')
    Image.open(images / '06.png').save(labels / '06.png')
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(images / '07.png').save(images / '07.png', exif=exif)
    (labels / '98.png').write_bytes((labels / '08.png').read_bytes())
    report = check(cfg)
    assert kinds(report) == {
        'unreadable': ['00.png', '02.png'],
        'truncated': ['01.png'],
        'missing-annotation': ['03.png'],
        'size-mismatch': ['04.png'],
        'mask-values': ['05.png'],
        'mask-mode': ['06.png'],
        'exif-rotation': ['07.png'],
        'spare-annotation': ['98.png'],
    }
    assert {finding.kind for finding in report.warnings} == {'exif-rotation', 'spare-annotation'}
    values = next(finding for finding in report.findings if finding.kind == 'mask-values')
    assert values.details == ['value 77 at 5 pixels, expected 0-2, 255']
    assert not check(cfg).cached


def test_an_image_turned_by_exif_fits_a_mask_of_the_turned_size(checked):
    folder, cfg = checked()
    image = folder / 'images' / 'train' / '00.png'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(image).transpose(Image.Transpose.ROTATE_90).save(image, exif=exif)
    assert list(kinds(check(cfg))) == ['exif-rotation']


def test_broken_xml(checked):
    folder, cfg = checked('detection')
    (folder / 'annotations' / 'val' / '12.xml').write_text('<annotation>')
    (folder / 'annotations' / 'val' / '13.xml').write_text('')
    assert kinds(check(cfg)) == {'unreadable': ['12.xml', '13.xml']}


def test_an_empty_split_names_its_folder(checked):
    folder, cfg = checked()
    shutil.rmtree(folder / 'images' / 'val')
    shutil.rmtree(folder / 'labels' / 'val')
    (folder / 'images' / 'val').mkdir()
    (folder / 'labels' / 'val').mkdir()
    report = check(cfg)
    if 'val' in report.samples:
        assert str(folder) in error_message(report)


def test_a_config_that_cannot_be_listed_is_no_error(tmp_path):
    report = quick_check.quick_check(Config(dict(default_scope='other', train_dataloader={})), tmp_path)
    assert [finding.level for finding in report.findings] == ['note']
    assert (report.data_hash, error_message(report)) == ('', '')


def test_the_error_names_the_three_worst_files(checked):
    folder, cfg = checked()
    for number in range(5):
        (folder / 'images' / 'train' / f'{number:02}.png').write_bytes(b'')
    mask = folder / 'labels' / 'train' / '05.png'
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(mask)
    with pytest.raises(DataCheckError) as caught:
        check_data(cfg)
    message = str(caught.value)
    first = folder / 'images' / 'train'
    assert f'  {first / "00.png"}: empty file\n  {mask}: value 9 at 2400 pixels' in message
    assert message.count(str(folder)) == 3
    assert 'files that cannot be read: 5; masks with values that are no class: 1' in message
    for text in ('Fix: ', 'tools/inspect_data.py', '--skip-data-check'):
        assert text in message


def test_worst_files_take_one_of_each_kind_first():
    findings = [
        Finding('error', 'mask-values', 'm', 'f', ['a', 'b', 'c'], 3, ['1', '2', '']),
        Finding('error', 'missing-image', 'm', 'f', ['x'], 1, ['gone']),
        Finding('error', 'class-numbering', 'no files', 'f', [], 1),
    ]
    assert worst_files(findings, 9) == [
        'x: gone',
        'no files',
        'a: 1',
        'b: 2',
        'c: masks with values that are no class',
    ]
    assert worst_files([]) == []


@pytest.mark.parametrize(
    ('values', 'text'), [([], ''), ([3], '3'), ([0, 1, 2, 255], '0-2, 255'), ([5, 4, 9, 8, 1], '1, 4-5, 8-9')]
)
def test_ranges(values, text):
    assert ranges(values) == text


def test_the_hash_is_that_of_the_data_and_not_of_their_place(checked, tmp_path):
    folder, cfg = checked()
    first = check(cfg)
    moved = tmp_path / 'another' / 'place'
    shutil.copytree(folder, moved)
    for path in moved.rglob('*.png'):
        touch_later(path)
    for name in ('train', 'val'):
        cfg[f'{name}_dataloader'].dataset.data_root = str(moved)
    assert check(cfg).split_hashes == first.split_hashes
    # A name, a pair, a label.
    (moved / 'images/train/00.png').rename(moved / 'images/train/00x.png')
    (moved / 'labels/train/00.png').rename(moved / 'labels/train/00x.png')
    renamed = check(cfg)
    assert renamed.split_hashes['train'] != first.split_hashes['train']
    assert renamed.split_hashes['val'] == first.split_hashes['val']


def test_labels_and_order_in_the_hash(tmp_path):
    one, two = Sample(tmp_path / 'a.png', label=0), Sample(tmp_path / 'b.png', label=1)
    digests = {one.image: '1', two.image: '2'}

    def hashed(samples, classes=('x', 'y')):
        return data_hash.hash_samples(samples, classes, digests)

    assert hashed([one, two]) == hashed([two, one])
    assert hashed([one, two]) != hashed([one, two], ('y', 'x'))
    # The number of a class may differ where its name does not.
    assert hashed([one, two]) == hashed([Sample(one.image, label=1), Sample(two.image, label=0)], ('y', 'x'))
    assert hashed([]) == hashed([])


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_edits_of_large_pictures_change_the_digest_of_their_edges(suffix, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    digests = set()
    for edited in (False, True):
        pixels[150, 150] = 255 * edited
        path = tmp_path / f'{edited}.{suffix}'
        Image.fromarray(pixels).save(path, quality=95)
        assert path.stat().st_size > quick_files.WHOLE_BYTES
        digests.add(look_at(path).digest)
    assert len(digests) == 2


def test_a_change_inside_a_large_file_needs_the_whole(tmp_path):
    path = tmp_path / 'data.bin'
    content = bytearray(200_000)
    path.write_bytes(content)
    before = [look_at(path, is_picture=False, whole=whole).digest for whole in (False, True)]
    content[100_000] = 1
    path.write_bytes(content)
    after = [look_at(path, is_picture=False, whole=whole).digest for whole in (False, True)]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_odd_pictures_are_no_faults(tmp_path):
    # Cameras write more behind the end of a JPEG.
    EMPTY.save(tmp_path / 'a.jpg')
    with (tmp_path / 'a.jpg').open('ab') as file:
        file.write(bytes(6000))
    facts = look_at(tmp_path / 'a.jpg')
    assert (facts.kind, facts.size_wh) == ('', (4, 4))
    assert look_at(tmp_path / 'none.png').kind == 'missing'
    assert look_at(tmp_path).kind == 'unreadable'


def test_only_the_main_process_checks(checked, monkeypatch):
    folder, cfg = checked()
    (folder / 'images' / 'train' / '00.png').write_bytes(b'')
    cfg.launcher = 'pytorch'
    monkeypatch.setenv('RANK', '1')
    assert check_data(cfg) is None
    assert not Path(cfg.work_dir).exists()
    monkeypatch.setenv('RANK', '0')
    with pytest.raises(DataCheckError):
        check_data(cfg)
    # Without a launcher, the variable is of something else.
    cfg.launcher = 'none'
    monkeypatch.setenv('RANK', '1')
    with pytest.raises(DataCheckError):
        check_data(cfg)


def _check_of_rank(rank: int, cfg: Config) -> str:
    try:
        report = check_data(cfg)
    except DataCheckError as error:
        return f'{rank}: {error}'
    return f'{rank}: {report is not None}'


@pytest.mark.parametrize('broken', [False, True])
def test_all_processes_of_a_group_share_the_verdict(broken, checked, in_two_processes):
    folder, cfg = checked()
    if broken:
        (folder / 'images' / 'train' / '00.png').write_bytes(b'')
    first, second = in_two_processes(_check_of_rank, cfg)
    if broken:
        assert 'empty file' in first
        assert first[1:] == second[1:]
    else:
        assert (first, second) == ('0: True', '1: False')


class Toy(BaseModel):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor', **kwargs):
        return {'loss': self.layer(torch.ones(1, 1)).sum()}


def test_every_checkpoint_holds_the_hashes(tmp_path):
    report = QuickReport('full:0', {'train': 'full:1', 'val': 'full:2'})
    runner = Runner(
        Toy(),
        str(tmp_path),
        train_dataloader=torch.utils.data.DataLoader([{'inputs': 0}] * 2),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        experiment_name='quick_check_hook',
    )
    runner.register_hook(DataHashHook(report))
    runner.train()
    meta = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['meta']
    assert meta['data_hash'] == {'train': 'full:1', 'val': 'full:2', 'all': 'full:0'}
    checkpoint = {}
    DataHashHook(QuickReport()).before_save_checkpoint(runner, checkpoint)
    assert checkpoint == {}


CONFIGS = {
    'configs/quickstart.py': {'train': 24, 'val': 8},
    'configs/detection/faster_rcnn/faster-rcnn_r18-fpn_1xb8-16e-b4-4e_sample-192x256.py': {'train': 168, 'val': 56},
    'configs/classification/vit/vit-tiny-p4_1xb32-80e_sample-32x32.py': {'train': 500, 'val': 200},
}


@pytest.mark.slow
@pytest.mark.parametrize('config', CONFIGS)
def test_the_samples_of_all_tasks(config, in_root, tmp_path):
    cfg = Config.fromfile(config)
    report = quick_check.quick_check(cfg, tmp_path)
    assert report.findings == []
    assert report.samples == CONFIGS[config]
    assert report.data_hash
    assert quick_check.quick_check(cfg, tmp_path).cached
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    gone = quick_check.quick_check(cfg, tmp_path)
    assert str(tmp_path / 'nowhere') in error_message(gone)
    assert 'data/README.md' in error_message(gone)
