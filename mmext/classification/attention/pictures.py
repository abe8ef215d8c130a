"""A map laid onto its picture. Pictures are (H, W, 3) RGB uint8, maps (H, W) float in 0..1 of the same size."""

import numpy as np
from matplotlib import colormaps

HEAT = 'inferno'
# How a map is shown, in the order of a sheet; a sheet of the report has original, alpha and heat.
STYLES = ('alpha', 'mask', 'heat', 'overlay')


def heat_map(values: np.ndarray) -> np.ndarray:
    """The map in inferno colours, brighter is more: (H, W, 3) uint8."""
    return colormaps[HEAT](np.clip(values, 0, 1), bytes=True)[..., :3].copy()


def alpha_picture(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The picture with the map as its opacity: (H, W, 4) RGBA uint8; what is looked at stays solid."""
    _check(picture, values)
    return np.dstack([picture, _to_bytes(values)])


def masked_picture(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The picture multiplied by the map: (H, W, 3) uint8; what is not looked at is dark."""
    _check(picture, values)
    return np.rint(picture * np.clip(values, 0, 1)[..., None]).astype(np.uint8)


def overlay_picture(picture: np.ndarray, values: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """The heat map laid over the picture: (H, W, 3) uint8.

    Args:
        opacity: Of the heat map, 0..1.
    """
    _check(picture, values)
    return np.rint(picture * (1 - opacity) + heat_map(values) * opacity).astype(np.uint8)


def styled(style: str, picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The picture in one of ``STYLES``."""
    if style == 'heat':
        _check(picture, values)
        return heat_map(values)
    return dict(alpha=alpha_picture, mask=masked_picture, overlay=overlay_picture)[style](picture, values)


def on_white(picture: np.ndarray) -> np.ndarray:
    """An RGBA picture as it looks on white paper, (H, W, 3) uint8; an RGB one as it is."""
    if picture.shape[2] == 3:
        return picture
    opacity = picture[..., 3:] / 255
    return np.rint(picture[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def _check(picture: np.ndarray, values: np.ndarray) -> None:
    if picture.shape != (*values.shape, 3):
        raise ValueError(f'picture {picture.shape} and map {values.shape}: resize the map to the picture')
