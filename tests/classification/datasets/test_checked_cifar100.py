"""CIFAR-100's loader: sums before pickles, the right pixels, and what it says when files are missing."""

import pickle
import shutil
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.datasets import CIFAR100, utils
from mmpretrain.registry import DATASETS

from mmext.classification.datasets import CheckedCIFAR100, CIFAR100Error, SampleCIFAR100
from mmext.common.digests import file_digest
from mmext.common.samples import cifar100
from mmext.common.samples.cifar100_names import FINE_NAMES


@pytest.fixture(autouse=True)
def _scope() -> None:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(autouse=True)
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network; the addresses that were asked for."""
    asked = []

    def refuse(url: str, dst: str, **_) -> None:
        asked.append(url)
        raise URLError('no route to host')

    monkeypatch.setattr(utils, 'download_url_to_file', refuse)
    return asked


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """The embedded sample, to be damaged."""
    return Path(shutil.copytree(root / 'data/samples/cifar100', tmp_path / 'cifar100'))


def sums(folder: Path) -> dict[str, list]:
    """Class attributes for the files of a folder."""
    md5 = {name: file_digest(folder / cifar100.FOLDER / name, 'md5') for name in ('train', 'test')}
    return {'train_list': [['train', md5['train']]], 'test_list': [['test', md5['test']]]}


class Unpickled:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


# ---- what is read


@pytest.mark.parametrize(('split', 'count'), [('train', 500), ('test', 200)])
def test_sample_is_read_through_upstreams_loader(root: Path, split: str, count: int) -> None:
    dataset = DATASETS.build(dict(type='SampleCIFAR100', data_root=str(root / 'data/samples/cifar100'), split=split))
    assert len(dataset) == count
    assert isinstance(dataset, CIFAR100)
    assert tuple(dataset.metainfo['classes']) == FINE_NAMES
    assert dataset.get_gt_labels().tolist() == cifar100.classes_of(0, split)
    for index in (0, 7, count - 1):
        item = dataset[index]
        picture, _, fine = cifar100.render(0, split, index)
        assert item['gt_label'] == fine
        assert (item['img'].shape, item['img'].dtype) == ((32, 32, 3), np.uint8)
        # red first: the renderer's order
        assert np.abs(item['img'].astype(int) - picture).max() <= 1


def test_a_known_pixel_keeps_its_place_and_its_channels(tmp_path: Path) -> None:
    data = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    data[1, 5, 9] = 200, 100, 50  # row 5, column 9; red, green, blue
    folder = tmp_path / cifar100.FOLDER
    folder.mkdir()
    for split in ('train', 'test'):
        (folder / split).write_bytes(cifar100.batch(split, data, [3, 99]))
    kind = type('Made', (CheckedCIFAR100,), sums(tmp_path))
    pipeline = [dict(type='PackInputs')]
    dataset = kind(data_root=str(tmp_path), split='test', pipeline=pipeline)
    inputs = dataset[1]['inputs']
    assert inputs.shape == (3, 32, 32)
    assert inputs[:, 5, 9].tolist() == [200, 100, 50]
    assert inputs.sum() == 350
    assert dataset[1]['data_samples'].gt_label == torch.tensor([99])
    assert 'gt_label' in dataset[0]['data_samples']


def test_published_sums_are_upstreams() -> None:
    assert CheckedCIFAR100.sums() == {
        'train': '16019d7e3df5f24257cddd939b257f8d',
        'test': 'f0ef6b0ae62326f3e7ffdfab6717acfc',
    }
    assert CheckedCIFAR100.tgz_md5 == 'eb9058c3a382ffc7106e4002c42a8d85'
    assert not set(SampleCIFAR100.sums().values()) & set(CheckedCIFAR100.sums().values())


# ---- what is refused


@pytest.mark.parametrize('name', ['train', 'test'])
@pytest.mark.parametrize('split', ['train', 'test'])
def test_a_changed_byte_is_refused(copy: Path, downloads: list[str], name: str, split: str) -> None:
    path = copy / cifar100.FOLDER / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CIFAR100Error) as error:
        SampleCIFAR100(data_root=str(copy), split=split)
    message = str(error.value)
    assert f'{path} has MD5 {file_digest(path, "md5")}, must have {cifar100.SUMS[name]}' in message
    assert 'make_samples.py --only cifar100' in message
    assert downloads == []


def test_nothing_is_unpickled_before_its_sum_is_right(copy: Path, tmp_path: Path) -> None:
    for name in ('train', 'test', 'meta'):
        trace = tmp_path / f'{name}-ran'
        (copy / cifar100.FOLDER / name).write_bytes(pickle.dumps(Unpickled(trace)))
        for kind in (SampleCIFAR100, CheckedCIFAR100):
            with pytest.raises(CIFAR100Error):
                kind(data_root=str(copy))
        assert not trace.exists()
    pickle.loads((copy / cifar100.FOLDER / 'train').read_bytes())
    assert (tmp_path / 'train-ran').exists()


def test_names_come_from_upstream_and_not_from_the_file(copy: Path) -> None:
    (copy / cifar100.FOLDER / 'meta').unlink()
    assert tuple(SampleCIFAR100(data_root=str(copy)).metainfo['classes']) == FINE_NAMES


@pytest.mark.parametrize('download', [True, False])
def test_missing_files_say_how_to_place_the_archive(tmp_path: Path, downloads: list[str], download: bool) -> None:
    root = tmp_path / 'cifar100'
    with pytest.raises(CIFAR100Error) as error:
        CheckedCIFAR100(data_root=str(root), download=download)
    message = str(error.value)
    for part in (
        f'{root / "cifar-100-python" / "train"} is missing',
        f'{root / "cifar-100-python" / "test"} is missing',
        'https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz',
        f'into the folder {root} as cifar-100-python.tar.gz',
        'MD5 eb9058c3a382ffc7106e4002c42a8d85',
    ):
        assert part in message
    assert ('no route to host' in message) == download
    assert bool(downloads) == download


def test_the_samples_files_are_not_the_published_ones(copy: Path) -> None:
    with pytest.raises(CIFAR100Error, match='must have 16019d7e3df5f24257cddd939b257f8d'):
        CheckedCIFAR100(data_root=str(copy), download=False)


def test_another_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / 'cifar-100-python.tar.gz').write_bytes(b'half')
    with pytest.raises(CIFAR100Error, match='the file there has another sum: replace it'):
        CheckedCIFAR100(data_root=str(tmp_path))


@pytest.mark.parametrize('download', [True, False])
def test_an_archive_placed_by_hand_is_unpacked(copy: Path, tmp_path: Path, downloads: list[str], download) -> None:
    root = tmp_path / 'placed'
    root.mkdir()
    with tarfile.open(root / 'made.tar.gz', 'w:gz') as archive:
        archive.add(copy / cifar100.FOLDER, cifar100.FOLDER)
    names = {'filename': 'made.tar.gz', 'tgz_md5': file_digest(root / 'made.tar.gz', 'md5')}
    kind = type('Made', (CheckedCIFAR100,), {**sums(copy), **names})
    assert len(kind(data_root=str(root), split='test', download=download)) == 200
    assert downloads == []
    assert (root / cifar100.FOLDER / 'train').is_file()


def test_other_errors_come_through(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_) -> None:
        raise OSError('disk full')

    monkeypatch.setattr(CIFAR100, 'load_data_list', full)
    with pytest.raises(OSError, match='disk full'):
        SampleCIFAR100(data_root=str(copy))
