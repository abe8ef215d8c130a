"""Time the scores of detection beside mmdet's eval_map in one process, from the boxes of single images to AP.

Random objects, a third of the detections near one of them, a tenth of the objects difficult. eval_map computes one AP
at a time; it starts a pool of processes even for one, which is slower than going through the images in this process, so
both are timed and the faster one is compared with. All run in turn, so a busy machine slows all alike.
python tools/benchmarks/detection_metric.py [--images 1000] [--detections 100] [--classes 20] [--repeats 5] [--json F]
"""

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
from mmdet.evaluation.functional import mean_ap

from mmext.analysis.benchmark import median_ms, print_times
from mmext.common.average_precision import MODES
from mmext.common.detection_matching import by_class
from mmext.common.detection_scores import ALL, counted_detections, score_detections, voc_scores
from mmext.common.detection_set import ImageBoxes, detection_set
from mmext.common.detection_settings import PRESETS
from mmext.common.files import write_json

UPSTREAM, POOL = 'mmdet eval_map, area', 'mmdet eval_map, area, nproc=1'
OURS, ALL_OURS = (
    'voc_scores: area, 11 points, with and without difficult',
    'score_detections: these and all other scores',
)
SETTINGS = PRESETS['eval_map']


class InProcess:
    """Stands for a pool of processes, without any."""

    def __init__(self, processes: int) -> None:
        pass

    def starmap(self, function, arguments) -> list:
        return [function(*each) for each in arguments]

    def close(self) -> None:
        pass


def make_images(num_images: int, num_detections: int, num_classes: int) -> list[ImageBoxes]:
    rng, images = np.random.default_rng(0), []
    for index in range(num_images):
        objects = int(rng.integers(1, 9))
        corners, labels = rng.uniform(0, 400, (objects + num_detections, 2)), rng.integers(num_classes, size=objects)
        boxes = np.hstack([corners, corners + rng.uniform(10, 120, corners.shape)])
        found = rng.integers(num_classes, size=num_detections)
        near, of = rng.random(num_detections) < 1 / 3, rng.integers(objects, size=num_detections)
        boxes[objects:][near] = boxes[of[near]] + rng.normal(0, 4, (near.sum(), 4))
        found[near] = labels[of[near]]
        boxes = np.float32(np.hstack([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])]))
        scores, difficult = np.float32(rng.random(num_detections)), rng.random(objects) < 0.1
        images.append(ImageBoxes(str(index), None, boxes[objects:], scores, found, boxes[:objects], labels, difficult))
    return images


def for_mmdet(images: list[ImageBoxes], num_classes: int) -> tuple[list, list]:
    """Detections by image and class, and annotations, as eval_map takes them."""
    found = [[np.c_[row.boxes, row.scores][row.labels == label] for label in range(num_classes)] for row in images]
    truth = []
    for row in images:
        parts = {'': ~row.difficult, '_ignore': row.difficult}
        truth.append({f'bboxes{end}': row.true_boxes[which] for end, which in parts.items()})
        truth[-1] |= {f'labels{end}': row.true_labels[which] for end, which in parts.items()}
    return found, truth


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {'images': 1000, 'detections': 100, 'classes': 20, 'repeats': 5}.items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--json', type=Path, help='write the figures here')
    args = parser.parse_args(argv)
    images, names = make_images(args.images, args.detections, args.classes), [str(n) for n in range(args.classes)]
    found, truth = for_mmdet(images, args.classes)

    def in_pool(mode: str = 'area') -> float:
        return mean_ap.eval_map(found, truth, eval_mode=mode, logger='silent', nproc=1)[0]

    def theirs(mode: str = 'area') -> float:
        with mock.patch.object(mean_ap, 'Pool', InProcess):
            return in_pool(mode)

    def ours() -> dict:
        data = detection_set(names, images)
        detections = counted_detections(data, SETTINGS)
        return voc_scores(data, detections, by_class(detections), SETTINGS)[0]

    functions = {UPSTREAM: theirs, POOL: in_pool, OURS: ours}
    functions[ALL_OURS] = lambda: score_detections(detection_set(names, images), SETTINGS)
    times = median_ms(functions, args.repeats)
    mean = {mode: float(np.nanmean(ours()[ALL].ap[mode])) for mode in MODES}
    agree = {f'mAP {mode} = mmdet': abs(mean[mode] - theirs(mode)) < 1e-6 for mode in MODES}
    title = f'{args.images} images x {args.detections} detections, {args.classes} classes'
    ratio = print_times(title, times, agree, OURS, UPSTREAM)
    if args.json:
        write_json(args.json, {**vars(args), 'json': str(args.json), 'median_ms': times, 'mAP': mean, 'ratio': ratio})
    return 0 if all(agree.values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
