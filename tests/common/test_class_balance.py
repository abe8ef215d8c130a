import json
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from mmext.common.class_balance import (
    SCHEMES,
    ClassStatistics,
    class_weights,
    effective_weights,
    enet_weights,
    inverse_weights,
    load_class_weight,
    log1p_weights,
    median_weights,
    read_class_statistics,
    write_class_balance,
)

STATISTICS = ClassStatistics(
    names=('road', 'car', 'train'),
    pixels=(60, 30, 10),
    images=(3, 2, 1),
    image_pixels=(150, 100, 50),
    ignored_pixels=50,
    num_files=3,
    files_sha256='0' * 64,
)
NORMALISED = ('log1p', 'inverse', 'effective')


def test_log1p_by_hand():
    # e - 1, e^2 - 1 and e^4 - 1 pixels: 1/1, 1/2, 1/4, sum 7/4, scaled to sum to 3
    counts = [math.e - 1, math.e**2 - 1, math.e**4 - 1]
    np.testing.assert_allclose(log1p_weights(counts), [12 / 7, 6 / 7, 3 / 7], rtol=1e-12)


def test_inverse_by_hand():
    # 100/60, 100/30, 100/10 = 5/3, 10/3, 30/3, sum 15, scaled by 3/15
    np.testing.assert_allclose(inverse_weights([60, 30, 10]), [1 / 3, 2 / 3, 2], rtol=1e-12)


def test_median_by_hand():
    # frequencies 60/150, 30/100, 10/50 = 0.4, 0.3, 0.2: the median class weighs 1
    np.testing.assert_allclose(median_weights([60, 30, 10], [150, 100, 50]), [0.75, 1, 1.5], rtol=1e-12)


def test_enet_by_hand():
    # the paper's range: a class that is everything, and one that is next to nothing
    weights = enet_weights([10**9, 1])
    np.testing.assert_allclose(weights, [1 / math.log(2.02), 1 / math.log(1.02)], rtol=1e-6)


def test_effective_against_exact_fractions():
    beta, counts = Fraction(3, 4), [1, 2, 5]
    exact = [(1 - beta) / (1 - beta**count) for count in counts]
    exact = [float(3 * weight / sum(exact)) for weight in exact]
    np.testing.assert_allclose(effective_weights(counts, 0.75), exact, rtol=1e-12)


def test_effective_limits():
    counts = [10**9, 10**6, 7]
    np.testing.assert_allclose(effective_weights(counts, 0.0), 1, rtol=1e-12)
    # n (1 - beta) from 1e-8 to 1e-1: the naive form would have lost most digits here
    small = [10, 1000, 10**8]
    nearly_inverse = effective_weights(small[:2], 1 - 1e-9)
    np.testing.assert_allclose(nearly_inverse, inverse_weights(small[:2]), rtol=1e-5)
    assert np.isfinite(effective_weights(counts, 1 - 1e-15)).all()


@pytest.mark.parametrize('beta', [1.0, -0.1, 1.5, math.nan])
def test_effective_refuses_beta(beta):
    with pytest.raises(ValueError, match='beta'):
        effective_weights([1, 2], beta)


@pytest.mark.parametrize('scheme', SCHEMES)
def test_rare_classes_weigh_more_and_order_does_not_matter(scheme):
    weights = class_weights(STATISTICS, scheme)
    assert (np.diff(weights) > 0).all()
    order = [2, 0, 1]
    columns = {
        key: tuple(np.array(getattr(STATISTICS, key))[order]) for key in ('names', 'pixels', 'images', 'image_pixels')
    }
    np.testing.assert_allclose(class_weights(ClassStatistics(**columns), scheme), weights[order], rtol=1e-12)
    if scheme in NORMALISED:
        assert weights.sum() == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize('scheme', SCHEMES)
def test_absent_class_weighs_nothing(scheme):
    statistics = ClassStatistics(('a', 'b', 'c'), (60, 0, 10), (3, 0, 1), (150, 0, 50))
    alone = ClassStatistics(('a', 'c'), (60, 10), (3, 1), (150, 50))
    weights, expected = class_weights(statistics, scheme), class_weights(alone, scheme)
    assert statistics.absent == ('b',)
    assert weights[1] == 0
    factor = 3 / 2 if scheme in NORMALISED else 1
    np.testing.assert_allclose(weights[[0, 2]], expected * factor, rtol=1e-12)


@pytest.mark.parametrize('scheme', SCHEMES)
def test_nothing_counted(scheme):
    assert class_weights(ClassStatistics(('a',), (0,), (0,), (0,)), scheme).tolist() == [0]


def test_unknown_scheme():
    with pytest.raises(ValueError, match='log1p, inverse, median, effective, enet'):
        class_weights(STATISTICS, 'sqrt')


def test_statistics_of_unequal_lengths():
    with pytest.raises(ValueError, match='one entry per class'):
        ClassStatistics(('a', 'b'), (1,), (1,), (1,))


def test_json_round_trip(tmp_path):
    path = tmp_path / 'new' / 'weights.json'
    write_class_balance(path, STATISTICS, 'effective', beta=0.99)
    assert read_class_statistics(path) == STATISTICS
    content = json.loads(path.read_text())
    assert content['scheme'] == 'effective'
    assert content['beta'] == 0.99
    assert 'arXiv:1901.05555' in content['formula']
    assert load_class_weight(path, 3, STATISTICS.names) == class_weights(STATISTICS, 'effective', 0.99).tolist()
    assert [entry.name for entry in path.parent.iterdir()] == ['weights.json']


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'weights.json'
    write_class_balance(path, STATISTICS, 'log1p')
    before = path.read_bytes()
    with pytest.raises(ValueError, match='scheme'):
        write_class_balance(path, STATISTICS, 'sqrt')
    assert path.read_bytes() == before


def test_load_class_weight_from_lists():
    assert load_class_weight(None, 19) is None
    assert load_class_weight((1, 2.5), 2, ['any', 'names']) == [1.0, 2.5]
    assert load_class_weight(np.array([1, 2])) == [1.0, 2.0]


@pytest.mark.parametrize('value', [[1, -1], [1, math.nan], [math.inf, 1]])
def test_load_class_weight_refuses_values(value):
    with pytest.raises(ValueError, match=r'class_weight: weight .* is not a finite number >= 0'):
        load_class_weight(value)


def test_load_class_weight_refuses_length_and_names(tmp_path):
    path = tmp_path / 'w.json'
    write_class_balance(path, STATISTICS, 'log1p')
    with pytest.raises(ValueError, match=r'w\.json: 3 weights for 19 classes; .*class_weights\.py'):
        load_class_weight(str(path), 19)
    with pytest.raises(ValueError, match=r'w\.json: .*"car" at position 1, this model has "bus" at position 1'):
        load_class_weight(path, 3, ['road', 'bus', 'train'])
    with pytest.raises(ValueError, match='"train" at position 2, this model has "nothing" at position 2'):
        load_class_weight(path, class_names=['road', 'car'])


@pytest.mark.parametrize('content', [b'{', b'[1, 2]', b'{"pixels": [1]}', b'\xff\xfe'])
def test_load_class_weight_refuses_other_files(tmp_path, content):
    path = tmp_path / 'w.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'w\.json.*class_weights\.py'):
        load_class_weight(path)
    with pytest.raises(ValueError, match=r'w\.json.*class_weights\.py'):
        read_class_statistics(path)


def test_load_class_weight_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.json: no such class weight file'):
        load_class_weight(tmp_path / 'gone.json')


def test_imports_neither_torch_nor_a_toolbox():
    code = 'import sys, mmext.common.class_balance; sys.exit(any(name in sys.modules for name in ("torch", "mmseg")))'
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
