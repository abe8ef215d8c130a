"""One confusion matrix of one image by counting once.

Shapes: C classes, H x W pixels. Prediction and truth (H, W) or (1, H, W), any number type, whole values.
"""

import torch
from torch import Tensor

# Values are compared in 16 bits: masks are 8-bit images, and class indices are smaller still.
NARROW = torch.int16
NARROW_MAX = torch.iinfo(NARROW).max


def count_confusion(
    prediction: Tensor, truth: Tensor, num_classes: int, ignore_index: int = 255, image: str = 'image'
) -> Tensor:
    """Pixels by true class (rows) and predicted class (columns), (C, C) int64, on the device of the prediction.

    ``truth * C + prediction`` numbers the pairs, and one ``bincount`` counts them. Ignored pixels are not taken out
    first, which would copy both maps: they get rows of their own, and these are cut off. Where everything is
    ignored, all entries are 0.

    Differs from upstream's ``IoUMetric.intersect_and_union`` in that values out of range are an error where upstream
    drops them; that counts are integers and not float32; and in speed.

    Args:
        prediction: Class indices; what stands at ignored pixels does not matter.
        truth: Class indices, or ``ignore_index``. Values are taken modulo 2^16.
        num_classes: C.
        ignore_index: Label of pixels that do not count; may also be one of the classes.
        image: What an error calls the picture.

    Raises:
        ValueError: the sizes differ, or a value is neither a class nor ignored; names image, values, pixels and fix.
    """
    if prediction.shape[-2:] != truth.shape[-2:] or prediction.numel() != truth.numel():
        raise ValueError(
            f'{image}: the prediction has shape {tuple(prediction.shape)}, its ground truth {tuple(truth.shape)}; '
            f'put LoadAnnotations behind Resize in the test pipeline, and keep masks of the size of their images'
        )
    prediction, truth = prediction.flatten(), truth.flatten().to(prediction.device)
    if prediction.numel() == 0:
        return torch.zeros(num_classes, num_classes, dtype=torch.long, device=prediction.device)
    predicted, labelled, ignored_row = prediction.to(NARROW), truth.to(NARROW), ignore_index
    if not 0 <= ignore_index <= 255:
        labelled, ignored_row = torch.where(truth == ignore_index, num_classes, labelled), num_classes
    # Two looks at 16 bits a pixel, 5 % of the time: what is out of range would fall into the bin of another pair.
    bounds = torch.stack([*torch.aminmax(predicted), *torch.aminmax(labelled)])
    lowest, highest, lowest_label, highest_label = bounds.tolist()
    if lowest_label < 0:
        _explain(truth, truth == ignore_index, num_classes, ignore_index, image, 'ground truth')
    if lowest < 0 or highest >= num_classes:
        ignored = truth == ignore_index
        _explain(prediction, ignored, num_classes, ignore_index, image, 'prediction')
        predicted = predicted.masked_fill(ignored, 0)
    rows = max(highest_label + 1, num_classes)
    pairs = labelled if rows * num_classes <= NARROW_MAX else labelled.int()
    pairs = (pairs * num_classes).add_(predicted)
    counts = torch.bincount(pairs, minlength=rows * num_classes).view(rows, num_classes)
    if ignored_row < rows:
        counts[ignored_row] = 0
    if highest_label >= num_classes and counts[num_classes:].any():
        _explain(truth, truth == ignore_index, num_classes, ignore_index, image, 'ground truth')
    return counts[:num_classes]


def _explain(labels: Tensor, ignored: Tensor, num_classes: int, ignore_index: int, image: str, kind: str) -> None:
    """Raise for values outside of the classes; return if all of them are ignored."""
    outside = ((labels < 0) | (labels >= num_classes)) & ~ignored
    values, counts = (found.tolist() for found in labels[outside].unique(return_counts=True))
    if not values:
        return
    shown = ', '.join(f'{value:g} at {count} pixels' for value, count in zip(values[:5], counts[:5], strict=True))
    more = f' and {len(values) - 5} more values' if len(values) > 5 else ''
    fix = (
        'convert the masks to class indices, or correct the classes or the label map of the data set'
        if kind == 'ground truth'
        else 'the head has more classes than the data set: correct num_classes, or the classes of the data set'
    )
    raise ValueError(
        f'{image}: the {kind} holds {shown}{more}, neither a class (0..{num_classes - 1}) nor '
        f'ignore_index={ignore_index}; {fix}'
    )
