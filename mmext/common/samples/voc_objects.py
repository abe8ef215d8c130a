"""The twenty classes of Pascal VOC: who draws them, how tall they are, and how they are seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmext.common.samples import voc_objects_animals as animals
from mmext.common.samples import voc_objects_indoor as indoor
from mmext.common.samples import voc_objects_vehicles as vehicles
from mmext.common.samples.voc_objects_brush import Brush


@dataclass(frozen=True)
class Kind:
    """One class: its drawing function, its usual height in a picture whose shorter side is 192 pixels, its outline."""

    draw: Callable[[Brush, np.random.Generator], None]
    height_px: float
    aspect: float  # width / height as drawn
    view: str = 'side'  # 'side' (nose to the right unless mirrored), 'front' or 'any'

    def pose_name(self, mirrored: bool) -> str:
        """What VOC writes into <pose>."""
        return {'front': 'Frontal', 'any': 'Unspecified'}.get(self.view, 'Left' if mirrored else 'Right')


OBJECTS = {
    'aeroplane': Kind(vehicles.aeroplane, 44, 3.0),
    'bicycle': Kind(vehicles.bicycle, 60, 1.7),
    'bird': Kind(animals.bird, 40, 1.65),
    'boat': Kind(vehicles.boat, 80, 1.1, 'any'),
    'bottle': Kind(indoor.bottle, 60, 0.3, 'any'),
    'bus': Kind(vehicles.bus, 58, 2.2),
    'car': Kind(vehicles.car, 46, 2.4),
    'cat': Kind(animals.cat, 56, 0.95, 'front'),
    'chair': Kind(indoor.chair, 76, 0.75, 'any'),
    'cow': Kind(animals.cow, 58, 1.85),
    'diningtable': Kind(indoor.diningtable, 56, 2.0, 'any'),
    'dog': Kind(animals.dog, 52, 1.6),
    'horse': Kind(animals.horse, 76, 1.6),
    'motorbike': Kind(vehicles.motorbike, 58, 1.85),
    'person': Kind(indoor.person, 92, 0.55, 'front'),
    'pottedplant': Kind(indoor.pottedplant, 66, 0.66, 'any'),
    'sheep': Kind(animals.sheep, 50, 1.4),
    'sofa': Kind(indoor.sofa, 58, 2.05, 'front'),
    'train': Kind(vehicles.train, 44, 3.65),
    'tvmonitor': Kind(indoor.tvmonitor, 56, 1.45, 'front'),
}
