import numpy as np
import pytest

from mmext.classification.attention.figures import contact_sheet, distance_figure, heads_figure, position_figure

RNG = np.random.default_rng(0)


def drawn(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def pictures(count: int, channels: int = 3) -> list:
    return [RNG.integers(0, 256, (12, 10, channels), dtype=np.uint8) for _ in range(count)]


def test_a_sheet_has_a_row_a_kind_and_a_column_an_input():
    originals, alphas = pictures(3), pictures(3, 4)
    figure = contact_sheet({'original': originals, 'alpha': alphas}, ['a', 'b', 'a long name of more than 26 letters'])
    used = [axes for axes in figure.axes if axes.images]
    assert len(used) == 6
    np.testing.assert_array_equal(used[1].images[0].get_array(), originals[1])
    assert [axes.get_title() for axes in used[:2]] == ['a', 'b']
    assert used[2].get_title().endswith('more than 26 letters')
    assert len(used[2].get_title()) == 26
    assert [used[0].get_ylabel(), used[3].get_ylabel()] == ['original', 'alpha']
    assert drawn(figure).std() > 0


def test_more_inputs_than_columns_make_another_band():
    originals, heats = pictures(5), pictures(5)
    figure = contact_sheet({'original': originals, 'heat': heats}, list('abcde'), columns=3)
    by_title = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(by_title) == list('abcde')
    np.testing.assert_array_equal(by_title['d'].images[0].get_array(), originals[3])
    assert sum(bool(axes.images) for axes in figure.axes) == 10


def test_a_sheet_with_gaps_is_refused():
    with pytest.raises(ValueError, match='a sheet of 2 inputs needs one picture each in every row, not original 1'):
        contact_sheet({'original': pictures(1)}, ['a', 'b'])
    with pytest.raises(ValueError, match='a sheet of 0 inputs'):
        contact_sheet({'original': []}, [])


def test_heads_have_a_map_each_and_the_patch_is_marked():
    maps = [RNG.random((3, 4, 4)), RNG.random((2, 4, 4))]
    figure = heads_figure(maps, ['layer 0', 'layer 5'], pictures(1)[0], (3, 2, 4, 4))
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 1 + 3 + 2
    np.testing.assert_array_equal(shown[4].images[0].get_array(), maps[1][0])
    assert shown[0].patches[0].get_bbox().bounds == (3, 2, 4, 4)
    assert drawn(figure).std() > 0


def test_position_figure_shows_all_tiles():
    tiles = RNG.random((3 * 4 - 1, 2 * 3 - 1))
    axes = position_figure(tiles, (3, 2)).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), tiles)
    assert [text.get_text() for text in axes.get_yticklabels()] == ['0', '1', '2']
    # In the middle of a map of 3 rows, each followed by a gap.
    np.testing.assert_allclose(axes.get_yticks(), [1, 5, 9])
    np.testing.assert_allclose(axes.get_xticks(), [0.5, 3.5])


def test_distances_have_a_dot_a_head():
    distances = np.array([[10.0, 20.0], [30.0, 50.0]])
    axes = distance_figure(distances, 300).axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), [[0, 10], [0, 20], [1, 30], [1, 50]])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [15, 40])
    assert axes.get_ylim()[1] > 50
    assert distance_figure(np.zeros((1, 1)), 300).axes[0].get_ylim()[1] > 0
