import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose
from mmpretrain.structures import DataSample
from torch import nn

from mmext.classification.batch_augments.pairwise_cut_mix import PairwiseCutMix
from mmext.classification.evaluation.train_accuracy_hook import (
    batch_targets,
    clean_indices,
    clean_sample,
    correct_predictions,
    mixed_accuracy,
    validation_pipeline,
)
from mmext.common.undisturbed import evaluating, random_state_kept


def samples(labels, scores=None):
    made = [DataSample().set_gt_label(label) for label in labels]
    for sample, score in zip(made, scores if scores is not None else (), strict=False):
        sample.set_gt_score(score)
    return made


def test_mixed_accuracy_by_hand():
    targets = torch.tensor([[0.7, 0.3, 0], [0.25, 0, 0.75], [0, 1, 0]])
    # the own class, the other one, neither
    logits = torch.tensor([[2.0, 1, 0], [5, 1, 0], [0, -1, 3]])
    agreement, best = mixed_accuracy(logits, targets)
    assert float(agreement) == pytest.approx((0.7 + 0.25 + 0) / 3)
    assert float(best) == pytest.approx((0.7 + 0.75 + 1) / 3)


def test_without_mixing_it_is_the_accuracy():
    generator = torch.Generator().manual_seed(0)
    labels, logits = torch.randint(5, (200,), generator=generator), torch.randn(200, 5, generator=generator)
    agreement, best = mixed_accuracy(logits, F.one_hot(labels, 5).float())
    assert float(agreement) == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert best == 1


def test_it_is_the_weighted_sum_of_both_labels_hits():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(5, (2, 300), generator=generator)
    kept, logits = torch.rand(300, generator=generator), torch.randn(300, 5, generator=generator)
    targets = kept[:, None] * F.one_hot(first, 5) + (1 - kept[:, None]) * F.one_hot(second, 5)
    hits = kept * (logits.argmax(1) == first) + (1 - kept) * (logits.argmax(1) == second)
    assert float(mixed_accuracy(logits, targets)[0]) == pytest.approx(float(hits.mean()), rel=1e-5)
    swap = torch.randperm(5, generator=generator)
    torch.testing.assert_close(mixed_accuracy(logits[:, swap], targets[:, swap]), mixed_accuracy(logits, targets))
    assert mixed_accuracy(targets, targets)[0] == mixed_accuracy(targets, targets)[1]


def test_uniform_shares_have_a_ceiling_of_three_quarters():
    torch.manual_seed(0)
    count = 4000
    _, targets = PairwiseCutMix('mixup')(torch.zeros(count, 1, 1, 1), torch.eye(count))
    assert float(mixed_accuracy(targets, targets)[1]) == pytest.approx(0.75, abs=0.01)


def test_targets_are_scores_or_labels():
    scores = [[0.5, 0.5, 0], [0, 0, 1.0]]
    assert batch_targets(samples([0, 2], scores), 3).tolist() == scores
    assert batch_targets(samples([0, 2]), 3).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert batch_targets(samples([0, [1, 2]]), 3) is None
    assert batch_targets([DataSample()], 3) is None


def test_clean_images_are_drawn_once():
    assert clean_indices(5, 9, seed=0) == [0, 1, 2, 3, 4]
    drawn = clean_indices(1000, 100, seed=0)
    assert len(set(drawn)) == 100
    assert drawn == sorted(drawn) == clean_indices(1000, 100, seed=0) != clean_indices(1000, 100, seed=1)
    # of a set in which the class is the last digit, every class
    assert {index % 10 for index in drawn} == set(range(10))


def test_predictions_need_one_label_each():
    right, wrong = samples([1, 2])
    predictions = [right.set_pred_label(1), wrong.set_pred_label(0)]
    assert correct_predictions(predictions).tolist() == [True, False]
    with pytest.raises(ValueError, match=r'not exactly one label.*num_clean_images=0'):
        correct_predictions([*predictions, DataSample().set_gt_label([0, 1]).set_pred_label(0)])
    with pytest.raises(ValueError, match=r'x\.png has not exactly one label'):
        correct_predictions([DataSample(metainfo=dict(img_path='x.png')).set_pred_label(0)])


def test_modes_and_random_numbers_go_on():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)).train()
    model[1].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    assert [module.training for module in model.modules()] == [True, True, False]

    def draw():
        return torch.rand(1).item(), np.random.random(), random.random()  # noqa: NPY002

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    with random_state_kept():
        inside = draw()
    assert draw() == inside


def test_the_validations_pipeline_is_found_in_wrappers():
    pipeline = Compose([])
    plain = SimpleNamespace(pipeline=pipeline)
    for dataset in (
        plain,
        SimpleNamespace(dataset=plain),
        SimpleNamespace(datasets=[SimpleNamespace(dataset=plain), None]),
    ):
        runner = SimpleNamespace(val_loop=1, val_dataloader=SimpleNamespace(dataset=dataset))
        assert validation_pipeline(runner) is pipeline
    runner.val_dataloader.dataset = [1]
    for without in (runner, SimpleNamespace(val_loop=None)):
        with pytest.raises(ValueError, match=r'no validation.*pipeline=\[\.\.\.\], or set num_clean_images=0'):
            validation_pipeline(without)


def test_an_image_that_the_pipeline_drops_is_told():
    dataset = SimpleNamespace(get_data_info=lambda index: {})
    with pytest.raises(ValueError, match='gives nothing for image 4 of the training set'):
        clean_sample(dataset, 4, lambda results: None)
