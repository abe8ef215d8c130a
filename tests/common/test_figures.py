import math

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from mmext.common.figures import class_distribution_figure, save_figure

NAMES, PIXELS, PALETTE = ['road', 'train', 'sky'], [1_500_000, 160, 0], [(128, 64, 128), (0, 80, 100), (70, 130, 180)]


def test_bars_show_the_counts_in_class_colours_on_a_log_scale():
    figure = class_distribution_figure(NAMES, PIXELS, PALETTE, ['w 1', 'w 2', 'w 0'], 'title')
    (axes,) = figure.axes
    assert axes.get_xscale() == 'log'
    assert [bar.get_width() for bar in axes.patches] == PIXELS
    assert [tuple(round(255 * c) for c in bar.get_facecolor()[:3]) for bar in axes.patches] == PALETTE
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    assert [text.get_text() for text in axes.texts] == ['1.5 M · w 1', '160 · w 2', '0 · w 0']
    low, high = axes.get_xlim()
    assert 0 < low < 160 < 1_500_000 < high
    assert math.isfinite(high)


@pytest.mark.parametrize('pixels', [[0, 0, 0], [1, 1, 1], [10**10, 10**10, 1]])
def test_extreme_counts(pixels, tmp_path):
    save_figure(class_distribution_figure(NAMES, pixels), tmp_path / 'new' / 'f.png')
    picture = np.asarray(Image.open(tmp_path / 'new' / 'f.png'))
    assert picture.std() > 5


def test_leaves_pyplot_alone():
    before = plt.get_fignums()
    class_distribution_figure(NAMES, PIXELS)
    assert plt.get_fignums() == before


def test_lists_of_unequal_length():
    with pytest.raises(ValueError, match=r'one entry a class, got \[3, 2\]'):
        class_distribution_figure(NAMES, PIXELS[:2])
