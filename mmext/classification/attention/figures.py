"""Figures of attention: contact sheets, the heads of all layers, position similarities and attention distances."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmext.classification.attention.pictures import HEAT, on_white

# Pictures beside each other in a sheet, as the report has them; more go on below.
COLUMNS = 6
_CELL_INCHES = 1.7
_TITLE = 26


def contact_sheet(rows: dict[str, Sequence[np.ndarray]], titles: Sequence[str], columns: int = COLUMNS) -> Figure:
    """Pictures of several inputs below each other, input by input (figure 27 of report street-voc-vit).

    Args:
        rows: What each row shows -> (H, W, 3) or (H, W, 4) uint8, one an input; transparency shows white paper.
        titles: Above the inputs.
        columns: Inputs beside each other; further ones make another band of rows.

    Raises:
        ValueError: no input, or not one picture an input in each row.
    """
    if not titles or any(len(pictures) != len(titles) for pictures in rows.values()):
        counts = ', '.join(f'{name} {len(pictures)}' for name, pictures in rows.items())
        raise ValueError(f'a sheet of {len(titles)} inputs needs one picture each in every row, not {counts}')
    width = min(columns, len(titles))
    bands = -(-len(titles) // columns)
    size = (_CELL_INCHES * width + 0.4, (_CELL_INCHES * len(rows) + 0.25) * bands)
    figure, grid = _grid_figure(len(rows) * bands, width, size)
    for index, title in enumerate(titles):
        band, column = divmod(index, columns)
        for row, (name, pictures) in enumerate(rows.items()):
            axes = grid[band * len(rows) + row][column]
            picture = on_white(pictures[index])
            # Few pixels must not be blurred: patches are a few pixels wide there.
            axes.imshow(picture, interpolation='nearest' if max(picture.shape[:2]) < 100 else 'antialiased')
            axes.axis('on')
            _bare(axes)
            if row == 0:
                axes.set_title(_short(title), fontsize=8)
            if column == 0:
                axes.set_ylabel(name, fontsize=8)
    return figure


def heads_figure(
    maps: Sequence[np.ndarray], names: Sequence[str], picture: np.ndarray, patch: tuple[float, float, float, float]
) -> Figure:
    """Where every head looks from one patch: layers below each other, heads beside each other.

    Each map has its own range of colours, from its smallest to its largest value.

    Args:
        maps: (H, h, w) a layer.
        names: Of the layers.
        picture: The network's input, (H, W, 3) uint8, drawn first, with the patch marked.
        patch: Its left, top, width and height in pixels.
    """
    heads = max(len(layer) for layer in maps)
    cell = 0.95 if heads > 4 else 1.3
    # Rows as flat or high as the picture.
    ratio = picture.shape[0] / picture.shape[1]
    size = (cell * (heads + 2) + 0.9, cell * max(len(maps) * ratio, 1.2 * ratio) + 0.5)
    figure = Figure(figsize=size, layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=(2, heads + 0.6))
    axes = left.subplots()
    axes.imshow(picture)
    axes.add_patch(Rectangle(patch[:2], *patch[2:], fill=False, edgecolor='white', linewidth=2.6))
    axes.add_patch(Rectangle(patch[:2], *patch[2:], fill=False, edgecolor='#D55E00', linewidth=1.4))
    axes.set_title('query patch', fontsize=8)
    axes.set_anchor('N')
    _bare(axes)
    grid = right.subplots(len(maps), heads, squeeze=False)
    for axes in grid.flat:
        axes.axis('off')
    for row, (layer, name) in enumerate(zip(maps, names, strict=True)):
        for head, values in enumerate(layer):
            axes = grid[row][head]
            axes.axis('on')
            axes.imshow(values, cmap=HEAT, interpolation='nearest', extent=(0, 1 / ratio, 0, 1))
            _bare(axes)
            if row == 0:
                axes.set_title(f'head {head}', fontsize=7)
            if head == 0:
                axes.set_ylabel(name, fontsize=7)
    return figure


def position_figure(tiles: np.ndarray, grid_hw: tuple[int, int]) -> Figure:
    """The maps of position similarity in the places of their patches, with one scale of colours for all.

    Args:
        tiles: Of `position_similarity.similarity_picture` with a gap of one.
        grid_hw: Patches.
    """
    rows, columns = grid_hw
    side = 7.5
    figure = Figure(figsize=(side + 2, side * tiles.shape[0] / tiles.shape[1] + 0.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    drawn = axes.imshow(tiles, cmap='viridis', interpolation='nearest', vmax=1)
    every = max(1, max(rows, columns) // 16)
    for axis, count, step in ((axes.xaxis, columns, columns + 1), (axes.yaxis, rows, rows + 1)):
        places = range(0, count, every)
        axis.set_ticks([place * step + (step - 2) / 2 for place in places], [str(place) for place in places])
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_xlabel('column of the patch')
    axes.set_ylabel('row of the patch')
    figure.colorbar(drawn, ax=axes, label='cosine similarity', shrink=0.85)
    return figure


def distance_figure(distances: np.ndarray, largest: float) -> Figure:
    """Mean attention distance of every head over the depth of its layer (figure 7 of arXiv:2010.11929).

    Args:
        distances: (L, H) in pixels.
        largest: Distance between opposite corners, the end of the axis is above all values and at most there.
    """
    layers, heads = distances.shape
    figure = Figure(figsize=(6.5, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    depth = np.repeat(np.arange(layers), heads).reshape(layers, heads)
    axes.plot(np.arange(layers), distances.mean(1), color='0.6', linewidth=1.2, zorder=1, label='mean of the heads')
    axes.scatter(depth, distances, s=26, color='#0072B2', alpha=0.75, linewidths=0, zorder=2, label='a head')
    axes.set_xlabel('layer')
    axes.set_ylabel('mean attention distance (pixels)')
    axes.set_ylim(0, min(largest, 1.15 * float(distances.max()) or 1.0))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='y', color='0.9')
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, loc='best')
    return figure


def _grid_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=size, layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis('off')
    return figure, grid


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _short(title: str) -> str:
    return title if len(title) <= _TITLE else f'…{title[1 - _TITLE :]}'
