"""How much of what the network trains on is padding and not picture."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .finding import NOT_RUN, PASS, WARNING, Finding
from .subject import Subject

MUCH = 0.25


def picture_area(dataset: Any, index: int) -> tuple[int, int]:
    """Pixels of a training picture before and after transforms that pad it, by running its pipeline step by step.

    Only transforms called ``Pad`` count: a random crop that pads on purpose moves the picture, and adds nothing to it.
    """
    data, before = dataset.get_data_info(index), None
    for transform in dataset.pipeline.transforms:
        if type(transform).__name__ == 'Pad' and 'img' in data:
            before = data['img'].shape[0] * data['img'].shape[1] if before is None else before
        data = transform(data)
        if data is None:
            return 0, 0
    after = data['inputs'].shape[-2] * data['inputs'].shape[-1]
    return (after if before is None else before), after


def padded_share(pictures: Sequence[int], canvas: int) -> float:
    """Mean share of a canvas that pictures of these areas leave empty."""
    return 1 - sum(min(area, canvas) for area in pictures) / (canvas * len(pictures)) if pictures and canvas else 0.0


def check_padding(subject: Subject, samples: int = 16) -> Finding:
    """Compares pictures as the pipeline makes them with the tensor that the model gets.

    Args:
        subject: Its data set is read, its batch tells the size of the tensor.
        samples: Pictures to look at, spread over the set; of a small set each several times, as scales are random.
    """
    dataset = subject.dataset
    while not hasattr(dataset, 'pipeline') and (hasattr(dataset, 'dataset') or getattr(dataset, 'datasets', None)):
        dataset = dataset.dataset if hasattr(dataset, 'dataset') else dataset.datasets[0]
    if not hasattr(getattr(dataset, 'pipeline', None), 'transforms') or not hasattr(dataset, 'get_data_info'):
        kind = type(dataset).__name__
        return Finding('padding', NOT_RUN, f'{kind} has no pipeline of transforms to follow')
    areas = [picture_area(dataset, index * len(dataset) // samples) for index in range(samples)]
    areas = [pair for pair in areas if pair[1]]
    if not areas:
        return Finding('padding', NOT_RUN, f'the pipeline drops all of {samples} pictures', 'look at its filters')
    canvas = _canvas(subject)
    # Where a canvas follows the batch, that of each picture is at least its own size.
    shares = [padded_share([before], max(canvas, after)) for before, after in areas]
    share = sum(shares) / len(shares)
    values = dict(share=share, pictures=len(areas), canvas_pixels=canvas)
    text = f'{share:.0%} of what the network trains on is padding (mean of {len(areas)} pictures)'
    if share > MUCH:
        fix = 'scale the pictures up, take a smaller crop, or mask the padding in the loss'
        return Finding('padding', WARNING, text, fix, values)
    return Finding('padding', PASS, text, '', values)


@torch.no_grad()
def _canvas(subject: Subject) -> int:
    data = subject.model.data_preprocessor(copy.deepcopy(subject.batch), True)
    inputs = data['inputs'] if isinstance(data, Mapping) else data
    return inputs.shape[-2] * inputs.shape[-1] if isinstance(inputs, torch.Tensor) else 0
