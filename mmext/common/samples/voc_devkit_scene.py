"""Paints placed objects on a background from back to front and outlines what is seen of each.

Boxes are 1-based inclusive pixels (xmin, ymin, xmax, ymax), as in the XML files of Pascal VOC.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmext.common.samples.voc_objects import OBJECTS
from mmext.common.samples.voc_objects_brush import Brush, Pose, rect, shade

TINY_PX = 16  # an object whose longer side is below is difficult,
SEEN_SHARE = 0.4  # and so is one of which less than this share is seen
SEEN_COVER = 0.4  # coverage from which a pixel belongs to an object
BEYOND_PX = 1.0  # an object that leaves the picture by more is truncated
WOOD = (150, 116, 84)


@dataclass(frozen=True)
class Item:
    """An object to be painted.

    ``depth`` grows towards the camera, ``seed`` draws the look, ``stand`` is what it stands on: 'floor', 'board' (on
    the wall), 'cabinet', 'table' (painted by another item) or 'air'.
    """

    name: str
    pose: Pose
    depth: float
    seed: int
    stand: str = 'floor'

    def box_px(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 to be expected from the proportions of its class, cabinet included."""
        height = self.pose.height_px
        half = height * OBJECTS[self.name].aspect * self.pose.stretch / 2
        below = 0.5 * height if self.stand == 'cabinet' else 0.0
        return self.pose.x_px - half, self.pose.y_px - height, self.pose.x_px + half, self.pose.y_px + below


@dataclass(frozen=True)
class SceneObject:
    """An object as annotated; ``mask`` (H, W) bool holds the pixels of it that are seen, ``seen`` their share."""

    name: str
    pose: str
    box: tuple[int, int, int, int]
    truncated: bool
    difficult: bool
    seen: float
    mask: np.ndarray


def _shadow(image: np.ndarray, item: Item) -> None:
    """Darkens the ground under an item."""
    x0, _, x1, _ = item.box_px()
    y, half = item.pose.y_px - 0.01 * item.pose.height_px, max(0.5 * (x1 - x0), 1.0)
    thick = 0.07 * item.pose.height_px + 1
    v, u = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    image *= (1 - 0.4 * (1 - ((u - item.pose.x_px) / half) ** 2 - ((v - y) / thick) ** 2).clip(0, 1))[..., None]


def _stand(brush: Brush, item: Item) -> None:
    """Board or cabinet below the foot, in the frame of the object."""
    half = 0.5 * OBJECTS[item.name].aspect
    if item.stand == 'board':
        brush.fill(rect(-half - 0.25, half + 0.25, -0.09, 0.0), WOOD)
        brush.fill(rect(-half - 0.2, -half - 0.13, -0.2, -0.09), shade(WOOD, 0.7))
        brush.fill(rect(half + 0.13, half + 0.2, -0.2, -0.09), shade(WOOD, 0.7))
    elif item.stand == 'cabinet':
        brush.fill(rect(-half - 0.05, half + 0.05, -0.5, 0.02), shade(WOOD, 0.9))
        brush.fill(rect(-half, -0.03, -0.44, -0.06), WOOD)
        brush.fill(rect(0.03, half, -0.44, -0.06), WOOD)


def paint(background: np.ndarray, items: Sequence[Item]) -> tuple[np.ndarray, list[SceneObject]]:
    """Paints the items over a float32 RGB picture (H, W, 3) in 0..255.

    Returns:
        The picture (H, W, 3) uint8, and an annotation for each item in the order given. The box holds the seen pixels;
        it is (0, 0, 0, 0) when there are none.
    """
    image, size_hw = background.copy(), background.shape[:2]
    owner, whole, extents = np.full(size_hw, -1), {}, {}
    for k in sorted(range(len(items)), key=lambda k: items[k].depth):
        item = items[k]
        layers = []
        if item.stand in ('board', 'cabinet'):
            stand = Brush(size_hw, item.pose)
            _stand(stand, item)
            layers.append((-1, stand))
        elif item.stand == 'floor':
            _shadow(image, item)
        brush = Brush(size_hw, item.pose)
        OBJECTS[item.name].draw(brush, np.random.Generator(np.random.PCG64(item.seed)))
        layers.append((k, brush))
        for index, layer in layers:
            colour, cover = layer.finish()
            image = image * (1 - cover[..., None]) + colour
            owner[cover >= SEEN_COVER] = index
        whole[k], extents[k] = int((cover >= SEEN_COVER).sum()), brush.extent_px()
    objects = [_annotate(item, owner == k, whole[k], extents[k]) for k, item in enumerate(items)]
    return np.round(image.clip(0, 255)).astype(np.uint8), objects


def _annotate(item: Item, mask: np.ndarray, whole: int, extent_px: tuple[float, ...]) -> SceneObject:
    """Outlines the seen pixels; ``whole`` counts the pixels inside the picture if nothing stood before the object."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (0, 0, 0, 0)
    if len(rows):
        box = int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1
    seen = int(mask.sum()) / max(whole, 1)
    x0, y0, x1, y1 = extent_px
    truncated = min(x0, y0) < -BEYOND_PX or x1 > width + BEYOND_PX or y1 > height + BEYOND_PX
    tiny = max(box[2] - box[0], box[3] - box[1]) + 1 < TINY_PX
    pose = OBJECTS[item.name].pose_name(item.pose.mirrored)
    return SceneObject(item.name, pose, box, truncated, tiny or seen < SEEN_SHARE, seen, mask)
