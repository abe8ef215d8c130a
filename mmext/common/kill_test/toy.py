"""A training of a second that has everything which could make a resumed one differ.

Random augmentation by all three generators, dropout, BatchNorm, an average of the weights, a metric, losses averaged
over epochs. Registered in mmengine's root registry.
"""

import random

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import Tensor, nn
from torch.utils.data import Dataset

FEATURES, CLASSES = 8, 3


@DATASETS.register_module()
class KillTestPoints(Dataset):
    """Points of three classes; with ``augment`` each is moved, scaled and flipped at random.

    Args:
        samples: Number of points.
        seed: Of the points.
        augment: Whether to draw random numbers.
    """

    def __init__(self, samples: int, seed: int = 0, augment: bool = True) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(CLASSES, (samples,), generator=generator)
        self.points = torch.randn(samples, FEATURES, generator=generator) + self.labels[:, None]
        self.augment = augment
        self.metainfo = dict(classes=('a', 'b', 'c'))

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict:
        point = self.points[index]
        if self.augment:
            point = point * (1 + 0.1 * random.random()) + torch.randn(FEATURES) * 0.1
            # The legacy generator, as transforms use it.
            point = point.flip(0) if np.random.rand() < 0.5 else point  # noqa: NPY002
        return dict(inputs=point, labels=int(self.labels[index]))


@MODELS.register_module()
class KillTestNet(BaseModel):
    """Two layers with BatchNorm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = 'tensor') -> dict | list:
        logits = self.head(self.backbone(inputs))
        if mode == 'loss':
            loss = nn.functional.cross_entropy(logits, labels)
            return dict(loss_ce=loss, loss_norm=1e-3 * self.head.weight.square().sum())
        return list(zip(logits, labels, strict=True))


@METRICS.register_module()
class KillTestMetric(BaseMetric):
    """Mean logit of the true class: unlike an accuracy it tells weights apart that differ by a bit."""

    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results += [float(logits[label]) for logits, label in data_samples]

    def compute_metrics(self, results: list) -> dict:
        return dict(score=float(np.mean(results)))
