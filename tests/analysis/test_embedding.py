import importlib.util
import itertools

import numpy as np
import pytest
import torch
from sklearn import manifold
from torch import nn

from mmext.analysis import embedding
from mmext.analysis.embedding import check_method, embed, knn_hits, principal_components, trustworthiness
from mmext.analysis.embedding_figure import class_style, embedding_figure, middle_sample
from mmext.analysis.features import reading_features
from mmext.common.figures import save_figure


def clusters(classes: int = 4, each: int = 12, spread: float = 0.1, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    centres = 5 * np.eye(classes, size)
    return (centres[labels] + spread * rng.normal(size=(len(labels), size))).astype(np.float32), labels


def brute_force_hits(features: np.ndarray, labels: np.ndarray, k: int) -> list[bool]:
    hits = []
    for i, own in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        order = sorted(others, key=lambda j: float(((features[j] - features[i]) ** 2).sum()))
        near = [int(labels[j]) for j in order[:k]]
        most = max(near.count(label) for label in near)
        hits.append(next(label for label in near if near.count(label) == most) == own)
    return hits


def brute_force_trust(features: np.ndarray, points: np.ndarray, k: int) -> float:
    n, penalty = len(features), 0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        near = sorted(others, key=lambda j: np.linalg.norm(points[i] - points[j]))[:k]
        ranks = sorted(others, key=lambda j: np.linalg.norm(features[i] - features[j]))
        penalty += sum(max(0, ranks.index(j) + 1 - k) for j in near)
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty


@pytest.mark.parametrize('k', [1, 2, 5])
def test_accuracy_and_trust_equal_brute_force(k, monkeypatch):
    monkeypatch.setattr(embedding, '_BLOCK', 7)
    rng = np.random.default_rng(k)
    features, points, labels = rng.normal(size=(40, 6)), rng.normal(size=(40, 2)), rng.integers(0, 3, 40)
    assert knn_hits(features, labels, k).tolist() == brute_force_hits(features, labels, k)
    assert trustworthiness(features, points, k) == pytest.approx(brute_force_trust(features, points, k), abs=1e-12)
    theirs = manifold.trustworthiness(features, points, n_neighbors=k)
    assert trustworthiness(features, points, k) == pytest.approx(theirs, abs=1e-12)


def test_accuracy_by_hand():
    # At 0 the votes are 7, 9 and the nearer decides; at 1 they are 7 and 9 too; at 3 both others say 7.
    features, labels = np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([7, 7, 9, 9])
    assert knn_hits(features, labels, 2).tolist() == [True, True, False, True]


def test_trust_by_hand():
    features = np.array([[0.0], [1.1], [2.3], [3.6], [5.0]])
    assert trustworthiness(features, features, 1) == 1
    # The plane swaps the places of 1 and 4. Nearest there: 0 -> 4, 1 -> 3, 2 -> 4, 3 -> 2, 4 -> 0.
    # Their ranks on the line: 4, 3, 4, 1, 4.
    points = features[[0, 4, 2, 3, 1]]
    assert trustworthiness(features, points, 1) == pytest.approx(1 - 2 * (3 + 2 + 3 + 0 + 3) / (5 * (10 - 3 - 1)))


def test_equal_samples_are_not_their_own_neighbours():
    features = np.array([[0.0, 0], [0, 0], [5, 5], [5, 5]])
    assert not knn_hits(features, np.array([0, 1, 0, 1]), 1).any()
    assert knn_hits(features, np.array([0, 0, 1, 1]), 1).all()


def test_a_large_common_offset_changes_nothing():
    features, labels = clusters(spread=3)
    shifted = features.astype(np.float64) + 1e6
    assert knn_hits(shifted, labels, 3).tolist() == knn_hits(features, labels, 3).tolist()


def test_order_of_samples_and_names_of_labels_change_nothing():
    features, labels = clusters(spread=3)
    result = embed(features, labels, 'pca')
    order = np.random.default_rng(1).permutation(len(labels))
    other = embed(features[order], 10 - labels[order], 'pca')
    assert other.knn_accuracy == result.knn_accuracy
    assert other.trustworthiness == pytest.approx(result.trustworthiness, abs=1e-12)
    np.testing.assert_allclose(other.points, result.points[order], atol=1e-4)
    assert 0.3 < result.knn_accuracy < 1


def test_random_labels_are_guessed():
    rng = np.random.default_rng(0)
    result = embed(rng.normal(size=(600, 5)), rng.integers(0, 4, 600), 'pca')
    assert result.knn_accuracy == pytest.approx(0.25, abs=0.07)
    assert result.majority == pytest.approx(0.25, abs=0.07)


def test_principal_components_are_a_rotation():
    features, _ = clusters(size=5)
    scores = principal_components(features, 50)
    assert scores.shape == (48, 5)
    distances = [np.linalg.norm(array[:, None] - array, axis=-1) for array in (features.astype(float), scores)]
    np.testing.assert_allclose(*distances, atol=1e-5)
    covariance = scores.T @ scores
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-6)
    assert (np.diff(np.diag(covariance)) <= 0).all()


@pytest.mark.parametrize('method', ['pca', 'tsne'])
def test_separate_clusters(method):
    features, labels = clusters(classes=3, each=20)
    result = embed(features, labels, method)
    assert result.knn_accuracy == 1
    assert result.knn_per_class == {0: 1.0, 1: 1.0, 2: 1.0}
    assert result.trustworthiness > (0.85 if method == 'tsne' else 0.6)
    assert (result.points.shape, result.points.dtype) == ((60, 2), np.float32)
    assert knn_hits(result.points, labels, 5).all()
    np.testing.assert_array_equal(embed(features, labels, method).points, result.points)


def test_few_samples_and_few_features_with_tsne():
    features, labels = clusters(classes=2, each=2)
    result = embed(features[:, :1], labels)
    assert np.isfinite(result.points).all()
    assert [note.partition(':')[0] for note in result.notes] == [
        'k of kNN reduced from 5 to 3',
        'k of trustworthiness reduced from 5 to 1',
        'half of the classes have at most 3 samples',
        'perplexity reduced from 30 to 1',
    ]


def test_a_class_of_one_sample_is_noted():
    features, labels = clusters(classes=2)
    labels[0] = 9
    result = embed(features, labels, 'pca')
    assert result.knn_per_class[9] == 0
    assert '1 of 3 classes have one sample' in result.notes[0]


def test_errors(monkeypatch):
    features, labels = clusters()
    with pytest.raises(ValueError, match='3 samples; an embedding needs at least 4'):
        embed(features[:3], labels[:3], 'pca')
    with pytest.raises(ValueError, match=r'features \(N, D\) and labels'):
        embed(features, labels[1:], 'pca')
    with pytest.raises(ValueError, match='features of 2 of 48 samples are not finite'):
        embed(np.where(np.arange(48)[:, None] < 2, np.nan, features), labels, 'pca')
    with pytest.raises(ValueError, match='all 48 samples are equal'):
        embed(np.ones_like(features), labels, 'pca')
    with pytest.raises(ValueError, match='k must be at least 1, not 0'):
        embed(features, labels, 'pca', k=0)
    with pytest.raises(ValueError, match=r'k of trustworthiness must be in 1\.\.23'):
        trustworthiness(features, features, 24)
    with pytest.raises(ValueError, match='must be one of'):
        check_method('lda')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='umap-learn is not installed; pip install umap-learn'):
        check_method('umap')


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.fc = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(torch.tanh(self.hidden(x)))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Conv2d(3, 6, 3), Head()

    def test_step(self, batch):
        return self.head(self.backbone(batch['inputs']).amax(dim=(2, 3)))


def test_features_equal_a_forward_by_hand():
    model = Model().eval()
    batch = dict(inputs=torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    maps = model.backbone(batch['inputs'])
    with reading_features(model) as (name, read):
        assert name == 'input of head.fc'
        assert torch.equal(read(batch), torch.tanh(model.head.hidden(maps.amax(dim=(2, 3)))))
    with reading_features(model, 'backbone') as (name, read):
        assert name == 'output of backbone'
        assert torch.equal(read(batch), maps.mean(dim=(2, 3)))
    assert not model.head.fc._forward_pre_hooks
    assert not model.backbone._forward_hooks
    with (
        pytest.raises(ValueError, match=r'no such module; it has backbone, head, head\.hidden'),
        reading_features(model, 'neck'),
    ):
        pass


def test_styles_of_a_hundred_classes_differ():
    styles = [class_style(index) for index in range(100)]
    assert len(set(styles)) == 100
    colors = sorted({color for color, _ in styles})
    assert len(colors) == 10
    assert all(0 <= channel <= 1 for color in colors for channel in color)
    assert min(np.linalg.norm(np.subtract(*pair)) for pair in itertools.combinations(colors, 2)) > 0.15


def test_legend_of_few_classes(tmp_path):
    features, labels = clusters()
    figure = embedding_figure(features[:, :2], labels, ['cat, house cat', 'dog', 'a' * 40], 'title')
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ['cat (12)', 'dog (12)', f'{"a" * 17}… (12)', '3 (12)']
    save_figure(figure, tmp_path / 'a' / 'f.png')
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['f.png']


@pytest.mark.parametrize('spread', [0.5, 5])
def test_names_of_many_classes_do_not_touch(spread):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 3)
    points = rng.uniform(-5, 5, size=(60, 2))[labels] * spread + rng.normal(size=(180, 2))
    figure = embedding_figure(points, labels, [f'class_{index}' for index in range(60)])
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    figure.canvas.draw()
    assert axes.get_legend() is None
    assert sorted(text.get_text() for text in axes.texts) == sorted(f'class_{index}' for index in range(60))
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))
    # Each is tied to a sample of its class by a line, or stands close to one.
    tied = {tuple(np.round(line.get_xydata()[1], 6)): line.get_xydata()[0] for line in axes.lines}
    for text in axes.texts:
        own = points[labels == int(text.get_text().removeprefix('class_'))]
        place = text.get_position()
        start = tied.get(tuple(np.round(place, 6)))
        pixels = np.linalg.norm(axes.transData.transform(own) - axes.transData.transform(place), axis=1)
        assert pixels.min() < 20 if start is None else (own == start).all(axis=1).any()
    assert tied or spread == 5


def test_a_name_stands_at_a_sample_though_the_median_is_none():
    points = np.array([[0.0, 0], [1, 0], [9, 0], [9, 9]])
    assert middle_sample(points).tolist() == [1, 0]
    assert middle_sample(points[:1]).tolist() == [0, 0]


def test_too_many_neighbours_for_small_classes_are_noted():
    features, labels = clusters(classes=6, each=3)
    assert 'half of the classes have at most 5 samples' in embed(features, labels, 'pca').notes[-1]
    assert embed(features, labels, 'pca', k=2).notes == []
