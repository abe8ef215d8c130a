"""Pictures of predictions: the frame, the ground truth and the prediction below each other, with a legend."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

LEGEND_ROW = 26
LEGEND_ENTRY = 130


@HOOKS.register_module()
class SegPictureHook(Hook):
    """Hands one picture an image to the visualizer, and so to every backend that the config names.

    Takes the place of upstream's ``SegVisualizationHook``, which needs about 2 s for a KITTI frame, most of it to
    place text in the segments; here a frame takes a few hundredths of a second and the names stand in a legend.
    As upstream's, it draws in the first process only: in a distributed run the share of images that this one sees.

    Args:
        draw: False switches the hook off.
        max_images: Pictures of one validation; tests draw all images.
        mix: Share of the class colour in a coloured pixel, 0 to 1; the rest is the frame.
    """

    def __init__(self, draw: bool = True, max_images: int = 4, mix: float = 0.7) -> None:
        if not 0 <= mix <= 1:
            raise ValueError(f'mix={mix}: the share of the class colour lies between 0 and 1')
        self.draw = draw
        self.max_images = max_images
        self.mix = mix
        self._drawn = 0

    def before_val_epoch(self, runner) -> None:
        self._drawn = 0

    def after_val_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        chosen = list(outputs or ())[: max(self.max_images - self._drawn, 0)]
        self._drawn += len(chosen)
        self._draw(runner, 'val', chosen, runner.iter)

    def after_test_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        # `runner.iter` would build the training loop, and with it the training data, which a test need not have.
        self._draw(runner, 'test', outputs or (), step=0)

    def _draw(self, runner, part: str, samples: Sequence, step: int) -> None:
        if not self.draw or not is_main_process():
            return
        classes, palette = (runner.visualizer.dataset_meta[key] for key in ('classes', 'palette'))
        for sample in samples:
            frame = mmcv.imread(sample.img_path, channel_order='rgb')
            prediction = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
            has_truth = 'gt_sem_seg' in sample
            truth = sample.gt_sem_seg.data.squeeze(0).cpu().numpy() if has_truth else None
            picture = compose_picture(frame, prediction, truth, classes, palette, self.mix)
            runner.visualizer.add_image(f'{part}_{Path(sample.img_path).stem}', picture, step)


def mix_colors(frame: np.ndarray, labels: np.ndarray, palette: Sequence, mix: float) -> np.ndarray:
    """Class colours over a frame; pixels without a class (label outside the palette) show the frame alone.

    Args:
        frame: (H, W, 3) RGB, uint8.
        labels: (H, W) integers.
        palette: One RGB colour a class.
        mix: Share of the class colour, 0 to 1.
    """
    known = labels < len(palette)
    colors = np.asarray(palette, dtype=np.uint8)[np.where(known, labels, 0)]
    mixed = cv2.addWeighted(colors, mix, frame, 1 - mix, 0)
    return np.where(known[..., None], mixed, frame)


def compose_picture(
    frame: np.ndarray,
    prediction: np.ndarray,
    truth: np.ndarray | None,
    classes: Sequence[str],
    palette: Sequence,
    mix: float = 0.7,
) -> np.ndarray:
    """Frame, ground truth if there is one, prediction, and a legend of the classes that occur.

    Args:
        frame: (H, W, 3) RGB, uint8.
        prediction: (H, W) class indices.
        truth: (H, W) class indices, 255 where nothing is labelled.

    Returns:
        (rows * H + legend, W, 3) RGB, uint8.
    """
    maps = [labels for labels in (truth, prediction) if labels is not None]
    parts = [frame, *(mix_colors(frame, labels, palette, mix) for labels in maps)]
    present = [c for c in np.unique(np.concatenate([m.ravel() for m in maps])).tolist() if c < len(palette)]
    return np.concatenate([*parts, _legend(frame.shape[1], present, classes, palette)])


def _legend(width: int, present: Sequence[int], classes: Sequence[str], palette: Sequence) -> np.ndarray:
    columns = max(width // LEGEND_ENTRY, 1)
    rows = -(-len(present) // columns)
    legend = np.full((rows * LEGEND_ROW, width, 3), 255, dtype=np.uint8)
    for place, c in enumerate(present):
        x, y = place % columns * LEGEND_ENTRY, place // columns * LEGEND_ROW
        color = tuple(int(value) for value in palette[c])
        cv2.rectangle(legend, (x + 4, y + 5), (x + 22, y + LEGEND_ROW - 5), color, thickness=-1)
        cv2.putText(legend, classes[c], (x + 28, y + 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return legend
