"""NumPy's files are read whole or not at all, and never by running what they contain."""

import numpy as np
import pytest
import torch

from mmext.classification.converters.npz import read_npz, read_weights
from mmext.common.weight_files import WeightsError


def test_npz_numbers_come_back_as_they_are(tmp_path):
    arrays = {
        'a/b': np.arange(6, dtype='>f4').reshape(2, 3),
        'c': np.float16(0.5),
        'd': np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4))),
        'e': np.array([], np.int64),
    }
    np.savez_compressed(tmp_path / 'w.bin', **arrays)
    (tmp_path / 'w.bin.npz').rename(tmp_path / 'w.bin')  # the suffix does not tell
    read = read_weights(tmp_path / 'w.bin')
    assert list(read) == list(arrays)
    assert [tensor.dtype for tensor in read.values()] == [torch.float32, torch.float16, torch.float64, torch.int64]
    assert all(np.array_equal(read[name].numpy(), array) for name, array in arrays.items())


def test_npz_files_that_are_refused(tmp_path):
    class Canary:
        def __reduce__(self):
            return (exec, (f'open({str(tmp_path / "canary")!r}, "w")',))

    path = tmp_path / 'w.npz'
    np.savez(path, fine=np.ones(2), evil=np.array([Canary()], dtype=object))
    with pytest.raises(WeightsError, match=r"w\.npz: refused, the array 'evil' holds Python objects"):
        read_weights(path)
    assert not (tmp_path / 'canary').exists()
    np.savez(path, text=np.array(['no numbers']))
    with pytest.raises(WeightsError, match="the entry 'text' holds no numbers"):
        read_npz(path)
    np.savez(path)
    with pytest.raises(WeightsError, match='holds no arrays'):
        read_npz(path)
    with path.open('wb') as file:
        np.save(file, np.ones(3))
    with pytest.raises(WeightsError, match='no npz file, or damaged'):
        read_npz(path)
    with pytest.raises(WeightsError, match='no such file'):
        read_npz(tmp_path / 'gone.npz')


def test_damaged_npz_files(tmp_path):
    """Cut anywhere, or garbled in the middle: refused by one reader or the other, never half read."""
    whole = tmp_path / 'whole.npz'
    np.savez(whole, a=np.ones(300, np.float32), b=np.zeros(10))
    content, path = whole.read_bytes(), tmp_path / 'w.npz'
    for cut in (0, 3, 100, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:cut])
        with pytest.raises(WeightsError, match=r'w\.npz: '):
            read_weights(path)
    path.write_bytes(content[:600] + b'garbled!' + content[608:])
    with pytest.raises(WeightsError, match='no npz file, or damaged'):
        read_weights(path)


def test_other_files_go_to_the_other_reader(tmp_path):
    torch.save({'a': torch.ones(2)}, tmp_path / 'w.npz')
    assert list(read_weights(tmp_path / 'w.npz')) == ['a']
    with pytest.raises(WeightsError, match='no such file'):
        read_weights(tmp_path / 'gone.npz')
