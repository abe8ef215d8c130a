"""Random data sets with detections, and the rules of the scores once more in plain loops, written from their texts."""

import numpy as np

from mmext.common.detection_set import ImageBoxes

CLASSES = ('aeroplane', 'bicycle', 'bird', 'boat')


def random_images(seed, num=24, most_found=14, most_there=6, num_classes=4, tenths=False):
    """Images of two sources; two detections of three near an object; whole pixels for even seeds."""
    rng = np.random.default_rng(seed)
    images = []
    for index in range(num):
        found, there = rng.integers(0, most_found + 1), rng.integers(0, most_there + 1)
        corner = rng.uniform(0, 80, (there + found, 2))
        boxes = np.hstack([corner, corner + rng.uniform(6, 40, corner.shape)])
        true_labels, labels = (rng.integers(num_classes, size=count) for count in (there, found))
        if there:
            near, of = rng.random(found) < 2 / 3, rng.integers(there, size=found)
            boxes[there:][near] = boxes[of[near]] + rng.normal(0, 3, (near.sum(), 4))
            same = near & (rng.random(found) < 0.8)
            labels[same] = true_labels[of[same]]
        boxes = np.hstack([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])])
        boxes = np.float32(boxes.round() if seed % 2 == 0 else boxes)
        scores = np.float32(
            rng.integers(0, 10, found) / 10 if tenths else rng.permutation(found * 7)[:found] / 97 + 1e-5 * index
        )
        source = ('VOC2007', 'VOC2012')[index % 2]
        row = (boxes[there:], scores, labels, boxes[:there], true_labels, rng.random(there) < 0.25)
        images.append(ImageBoxes(f'{source}/{index}.jpg', source, *row))
    return images


def loop_iou(a, b, more=0.0):
    width = min(a[2], b[2]) - max(a[0], b[0]) + more
    height = min(a[3], b[3]) - max(a[1], b[1]) + more
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + more) * (box[3] - box[1] + more) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def loop_ap(images, label, iou_thr=0.5, more=0.0, min_score=-1.0, ordinary=False, points=None):
    """PASCAL's AP of one class, None without an object: by area, or the mean precision at the points of recall."""
    found = []
    for number, row in enumerate(images):
        found += [
            (float(score), number, np.float64(box))
            for box, score, own in zip(row.boxes, row.scores, row.labels, strict=True)
            if own == label and score > min_score
        ]
    found.sort(key=lambda each: -each[0])
    difficult = [np.zeros_like(row.difficult) if ordinary else row.difficult for row in images]
    objects = sum(
        int(((row.true_labels == label) & ~flags).sum()) for row, flags in zip(images, difficult, strict=True)
    )
    if not objects:
        return None
    used, hits, misses, curve = set(), 0, 0, []
    for _, number, box in found:
        row, best, best_iou = images[number], None, -1.0
        for place in sorted(range(len(row.true_labels)), key=lambda place: difficult[number][place]):
            iou = loop_iou(box, np.float64(row.true_boxes[place]), more)
            if row.true_labels[place] == label and iou > best_iou:
                best, best_iou = place, iou
        if best_iou >= iou_thr and difficult[number][best]:
            continue
        if best_iou >= iou_thr and (number, best) not in used:
            used.add((number, best))
            hits += 1
        else:
            misses += 1
        curve.append((hits / objects, hits / max(hits + misses, 1)))
    if points is not None:
        return sum(max([p for r, p in curve if r >= point], default=0.0) for point in points) / len(points)
    area, before = 0.0, 0.0
    for index, (recall, _) in enumerate(curve):
        area += (recall - before) * max(p for _, p in curve[index:])
        before = recall
    return area


def loop_matched(images, num_classes, min_score=-1.0):
    """The report's mIOU and accuracy from their definition: matrix [detected class, true class] of matched pairs."""
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for row in images:
        pairs = [
            (loop_iou(np.float64(box), np.float64(true)), d, t)
            for d, box in enumerate(row.boxes)
            for t, true in enumerate(row.true_boxes)
            if row.scores[d] > min_score
        ]
        pairs = [pair for pair in pairs if pair[0] > 0.5]
        of_detection = {}
        for iou, d, t in pairs:
            if d not in of_detection or iou > of_detection[d][0]:
                of_detection[d] = (iou, t)
        of_object = {}
        for d, (iou, t) in of_detection.items():
            if t not in of_object or (iou, row.scores[d]) > of_object[t][:2]:
                of_object[t] = (iou, row.scores[d], d)
        for t, (_, _, d) in of_object.items():
            matrix[row.labels[d]][row.true_labels[t]] += 1
    ious = []
    for c in range(num_classes):
        union = sum(matrix[c]) + sum(line[c] for line in matrix) - matrix[c][c]
        if union:
            ious.append(matrix[c][c] / union)
    total = sum(map(sum, matrix))
    return sum(ious) / len(ious), sum(matrix[c][c] for c in range(num_classes)) / total
