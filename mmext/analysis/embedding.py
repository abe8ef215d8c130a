"""How a classifier's features lie: PCA, t-SNE or UMAP to the plane, and what the features say without the plane.

Shapes: N pictures, D features, C classes. Features (N, D) float; labels (N,) whole numbers 0..C-1; points (N, 2) float.
Distances are Euclidean, worked out in float64 and in blocks of rows: the N x N matrix is never held.
"""

import importlib.util
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

# Name on the command line -> in print.
METHODS = {'tsne': 't-SNE', 'umap': 'UMAP', 'pca': 'PCA'}
LEAST_SAMPLES = 4
_BLOCK = 256


class Embedding(NamedTuple):
    """Features brought to the plane and judged.

    Attributes:
        points: (N, 2) float32.
        knn_accuracy: Leave-one-out accuracy of the k nearest neighbours in the features, 0..1.
        knn_per_class: The same for each label that occurs.
        majority: Share of the most frequent class, 0..1: what a guess without features reaches.
        trustworthiness: How far neighbours on the plane are neighbours in the features, 0..1.
        notes: Settings that had to be reduced, and other remarks.
    """

    points: np.ndarray
    knn_accuracy: float
    knn_per_class: dict[int, float]
    majority: float
    trustworthiness: float
    notes: list[str]


def check_method(method: str) -> None:
    """Raise before anything is computed for a method that cannot run; UMAP is no dependency of this package.

    Raises:
        ValueError: unknown method, or its package is not installed.
    """
    if method not in METHODS:
        raise ValueError(f'--method {method}: must be one of {", ".join(METHODS)}')
    if method == 'umap' and importlib.util.find_spec('umap') is None:
        raise ValueError('--method umap: umap-learn is not installed; pip install umap-learn, or take tsne or pca')


def embed(
    features: np.ndarray,
    labels: np.ndarray,
    method: str = 'tsne',
    k: int = 5,
    perplexity: float = 30.0,
    seed: int = 0,
    components: int = 50,
) -> Embedding:
    """Bring features to the plane and judge both.

    Args:
        features: (N, D), N at least 4.
        labels: (N,) whole numbers.
        method: 'tsne' and 'umap' start from the first principal components; 'pca' shows the first two.
        k: Neighbours of the accuracy and of the trustworthiness; reduced, with a note, for few samples.
        perplexity: Of t-SNE, and the number of neighbours of UMAP; reduced, with a note, for few samples.
        seed: Equal seeds give equal points on one machine.
        components: Principal components that t-SNE and UMAP see.

    Raises:
        ValueError: fewer than four samples, labels of another number, features that are not finite or are all equal,
            k, perplexity or components out of range, an unknown or missing method.
    """
    check_method(method)
    features, labels = np.asarray(features), np.asarray(labels)
    _check(features, labels, k, perplexity, components)
    notes: list[str] = []
    neighbours = _reduce('k of kNN', k, len(features) - 1, notes)
    trusted = _reduce('k of trustworthiness', k, (len(features) - 1) // 2, notes)
    hits = knn_hits(features, labels, neighbours)
    found, counts = np.unique(labels, return_counts=True)
    if (counts == 1).any() and len(found) > 1:
        notes.append(f'{(counts == 1).sum()} of {len(found)} classes have one sample, which no other can confirm')
    if np.median(counts) <= neighbours:
        notes.append(f'half of the classes have at most {neighbours} samples: others outvote them; take a smaller k')
    points = _project(features, method, perplexity, seed, components, notes)
    return Embedding(
        points,
        float(hits.mean()),
        {int(label): float(hits[labels == label].mean()) for label in found},
        float(counts.max() / counts.sum()),
        trustworthiness(features, points, trusted),
        notes,
    )


def principal_components(features: np.ndarray, count: int) -> np.ndarray:
    """(N, min(count, N, D)) float64 scores of the centred features on their first principal components."""
    # Exact: the solver that scikit-learn would choose for many features is randomised.
    pca = PCA(min(count, *features.shape), svd_solver='full')
    return pca.fit_transform(features.astype(np.float64))


def knn_hits(features: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """(N,) bool: the majority of a sample's k nearest others has its label; of equal votes the nearest one decides."""
    _, classes = np.unique(labels, return_inverse=True)
    known = torch.from_numpy(classes)
    hits = torch.empty(len(known), dtype=torch.bool)
    for rows, distances in _distances(features):
        voters = known[_nearest(distances, k)]
        votes = (voters[:, :, None] == voters[:, None, :]).sum(dim=2)
        # The first maximum belongs to the nearest of the voters whose class has most votes.
        winner = votes.argmax(dim=1, keepdim=True)
        hits[rows] = voters.gather(1, winner).squeeze(1) == known[rows]
    return hits.numpy()


def trustworthiness(features: np.ndarray, points: np.ndarray, k: int) -> float:
    """Trustworthiness of a projection (Venna and Kaski 2001): 1 when neighbours on the plane are true neighbours.

    1 - 2 / (N k (2N - 3k - 1)) · Σ_i Σ_j max(0, r(i, j) - k) over the k nearest j of i on the plane, where r is the
    rank of j among the others of i by distance in the features, from 1. Of equal distances all have the lowest rank.
    scikit-learn's namesake holds the N x N matrix, which does not fit for a whole training split.

    Args:
        features: (N, D).
        points: (N, 2).
        k: 1 up to less than N / 2.

    Raises:
        ValueError: k out of range.
    """
    number = len(features)
    if not 0 < k < number / 2:
        raise ValueError(f'k of trustworthiness must be in 1..{(number - 1) // 2} for {number} samples, not {k}')
    penalty = 0
    for (_, near), (_, true) in zip(_distances(points), _distances(features), strict=True):
        for neighbour in _nearest(near, k).split(1, dim=1):
            rank = 1 + (true < true.gather(1, neighbour)).sum(dim=1)
            penalty += int((rank - k).clamp(min=0).sum())
    return 1 - 2 * penalty / (number * k * (2 * number - 3 * k - 1))


def _check(features: np.ndarray, labels: np.ndarray, k: int, perplexity: float, components: int) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(f'features (N, D) and labels (N,) needed, got {features.shape} and {labels.shape}')
    if len(features) < LEAST_SAMPLES:
        raise ValueError(f'{len(features)} samples; an embedding needs at least {LEAST_SAMPLES}')
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).any(axis=1).sum())
        raise ValueError(f'features of {bad} of {len(features)} samples are not finite; does the checkpoint hold NaN?')
    if (features == features[0]).all():
        raise ValueError(f'the features of all {len(features)} samples are equal; take another layer or checkpoint')
    for name, value in (('k', k), ('perplexity', perplexity), ('components', components)):
        if not value >= 1:
            raise ValueError(f'{name} must be at least 1, not {value}')


def _reduce(name: str, value: float, most: float, notes: list[str]) -> float:
    if value <= most:
        return value
    notes.append(f'{name} reduced from {value:g} to {most:.4g}: too few samples')
    return most


def _distances(features: np.ndarray) -> Iterator[tuple[slice, torch.Tensor]]:
    """Blocks of rows and their distances (rows, N) to all samples; to itself a sample has infinity."""
    # Centred, so that the differences of large products stay exact.
    samples = torch.from_numpy(features.astype(np.float64))
    samples -= samples.mean(dim=0)
    for start in range(0, len(samples), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(samples)))
        distances = torch.cdist(samples[rows], samples)
        distances[torch.arange(rows.stop - start), torch.arange(start, rows.stop)] = torch.inf
        yield rows, distances


def _nearest(distances: torch.Tensor, k: int) -> torch.Tensor:
    """(rows, k) indices of the k nearest, nearest first."""
    return distances.topk(k, largest=False, sorted=True).indices


def _project(
    features: np.ndarray, method: str, perplexity: float, seed: int, components: int, notes: list[str]
) -> np.ndarray:
    reduced = principal_components(features, 2 if method == 'pca' else components)
    if reduced.shape[1] < 2:  # one feature or one component
        reduced = np.column_stack([reduced, np.zeros(len(reduced))])
    if method == 'pca':
        return reduced.astype(np.float32)
    # Three times the perplexity is the number of neighbours that t-SNE looks at.
    perplexity = _reduce('perplexity', perplexity, (len(features) - 1) / 3, notes)
    if method == 'umap':
        from umap import UMAP

        neighbours = max(2, round(perplexity))
        return UMAP(n_neighbors=neighbours, random_state=seed).fit_transform(reduced).astype(np.float32)
    return _tsne(reduced, perplexity, seed)


def _tsne(reduced: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    # The first two components start it, scaled as scikit-learn's init='pca' does; its own are randomised.
    start = (reduced[:, :2] / reduced[:, 0].std() * 1e-4).astype(np.float32)
    if not reduced[:, 1].any():  # a line stays a line for ever
        start[:, 1] = np.random.default_rng(seed).normal(scale=1e-4, size=len(start))
    tsne = TSNE(perplexity=perplexity, init=start, learning_rate='auto', random_state=seed)
    return tsne.fit_transform(reduced.astype(np.float32)).astype(np.float32)
