import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mmext.analysis.run_comparison import (
    Difference,
    check_same_images,
    class_differences_table,
    compare_runs,
    comparison_table,
    labels_of,
    paired_bootstrap,
    resampled,
    scores_of,
    summed,
)
from mmext.common.confusion_scores import SCORES, ClassCounts, class_counts, score
from mmext.common.image_scores import ImageScores

CLASSES = ('road', 'traffic light', 'car')
NAMES = (*SCORES, 'IoU.road', 'IoU.traffic_light', 'Precision.car')


def confusions(num=12, share=0.7, seed=0, rows=(200, 20, 60)):
    """A street: every class of every image is right for about this share."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(99).poisson(rows, (num, 3))
    hits = rng.binomial(truth, share)
    made = np.zeros((num, 3, 3), int)
    for c in range(3):
        made[:, c, c] = hits[:, c]
        made[:, c, (c + 1) % 3] = truth[:, c] - hits[:, c]
    return made


def run(name='a', images=None, classes=CLASSES, **kwargs):
    counts = class_counts(confusions(**kwargs))
    images = tuple(images or (f'{index}.png' for index in range(len(counts.hits))))
    return ImageScores(Path(name), images, classes, counts)


def test_by_hand():
    """Two images of one pixel kind each: A is right on the first, B on both."""
    a = class_counts(np.array([[[4, 0], [0, 0]], [[0, 4], [0, 0]]]))
    b = class_counts(np.array([[[4, 0], [0, 0]], [[4, 0], [0, 0]]]))
    (found,) = paired_bootstrap(a, b, ['aAcc'], ['x', 'y'], resamples=4000)
    # the resamples hold the second image 0, 1 or 2 times, with probabilities 1/4, 1/2 and 1/4
    assert (found.value, found.low, found.high) == (0.5, 0, 1)
    assert found.p == pytest.approx(2 * 0.125, abs=0.03)
    assert found.verdict == 'no difference shown'


@pytest.mark.parametrize('name', NAMES)
def test_as_a_loop_over_the_same_resamples(name):
    a, b = confusions(share=0.7, seed=1), confusions(share=0.72, seed=2)
    a[:, 2, :], b[:, 2, :] = 0, 0  # no car is labelled, and few are predicted
    resamples, seed = 200, 5
    drawn = []
    for times in np.concatenate(list(resampled(len(a), resamples, seed))):
        sums = [np.zeros((3, 3), int), np.zeros((3, 3), int)]
        for image, count in enumerate(times.astype(int)):
            for _ in range(count):
                sums[0] += a[image]
                sums[1] += b[image]
        values = [float(scores_of(class_counts(total), [name], CLASSES)[0]) for total in sums]
        drawn.append(values[1] - values[0])
    drawn = np.array(drawn)
    below, above = (sum((d < 0) + (d == 0) / 2 for d in drawn * sign) for sign in (1, -1))
    (found,) = paired_bootstrap(class_counts(a), class_counts(b), [name], CLASSES, resamples, seed)
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=1e-12)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=1e-12)
    assert found.p == pytest.approx(min(1, 2 * (min(below, above) + 1) / (resamples + 1)))


def test_resamples_are_draws_with_replacement(monkeypatch):
    times = np.concatenate(list(resampled(20, 5000, 0)))
    assert times.shape == (5000, 20)
    assert (times.sum(1) == 20).all()
    assert times.mean(0) == pytest.approx(np.ones(20), abs=0.06)
    assert times.var(0) == pytest.approx(np.full(20, 1 - 1 / 20), abs=0.1)
    # blocks only bound the memory
    monkeypatch.setattr('mmext.analysis.run_comparison.BLOCK', 20 * 7)
    assert [len(block) for block in resampled(20, 17, 0)] == [7, 7, 3]


def test_a_model_against_itself():
    counts = class_counts(confusions())
    for found in paired_bootstrap(counts, counts, NAMES, CLASSES, resamples=301):
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
        assert found.verdict == 'no difference shown'


def test_exchanging_the_models_changes_the_sign():
    a, b = class_counts(confusions(share=0.6)), class_counts(confusions(share=0.65, seed=3))
    for there, back in zip(
        paired_bootstrap(a, b, NAMES, CLASSES, 500), paired_bootstrap(b, a, NAMES, CLASSES, 500), strict=True
    ):
        assert (back.value, back.p) == (-there.value, there.p)
        assert back.low == pytest.approx(-there.high)


def test_a_clear_difference_is_found_and_the_seed_fixes_it():
    a, b = class_counts(confusions(40, 0.6)), class_counts(confusions(40, 0.8, seed=1))
    first, again, other = (paired_bootstrap(a, b, ['mIoU'], CLASSES, 1000, seed)[0] for seed in (0, 0, 1))
    assert first == again != other
    assert first.p == pytest.approx(2 / 1001)
    assert 0 < first.low < first.value < first.high
    assert first.verdict == 'better'
    assert paired_bootstrap(b, a, ['mIoU'], CLASSES, 1000)[0].verdict == 'worse'


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Models of known, equal quality, 40 images: the difference of 0 is in the interval in about 95 of 100 cases."""
    held = small = 0
    for seed in range(200):
        a, b = (class_counts(confusions(40, 0.7, seed=2 * seed + part)) for part in range(2))
        (found,) = paired_bootstrap(a, b, ['mIoU'], CLASSES, 400, seed)
        held += found.low <= 0 <= found.high
        small += found.p < 0.05
    assert 0.88 <= held / 200 <= 0.99
    assert 0.01 <= small / 200 <= 0.12


def test_undefined_scores():
    nothing = ClassCounts(*(np.zeros((4, 3), int) for _ in range(3)))
    (found,) = paired_bootstrap(nothing, nothing, ['mIoU'], CLASSES, 10)
    assert np.isnan(found.value)
    assert found.verdict == 'undefined'
    report = compare_runs([ImageScores(Path('x'), tuple('abcd'), CLASSES, nothing)] * 2, ['x', 'y'], resamples=10)
    assert report['runs'][1]['differences']['mIoU']['p'] is None
    assert 'NaN' not in json.dumps(report)


def test_only_what_is_below_the_level_is_a_difference():
    assert Difference(-1, -2, 0, 0.05).verdict == 'no difference shown'
    assert Difference(-1, -2, -0.1, 0.049).verdict == 'worse'


def test_scores_of_all_images_are_the_metrics():
    run_a = run()
    report = compare_runs([run_a, run(share=0.6)], ['a', 'b'], resamples=50)
    total = class_counts(confusions().sum(0))
    assert report['runs'][0]['scores']['mIoU'] == pytest.approx(100 * score(total, 'mIoU'))
    assert list(report['runs'][1]['differences']) == ['mIoU', 'IoU.road', 'IoU.traffic_light', 'IoU.car']
    found = compare_runs([run_a, run()], ['a', 'b'], 'mDice', 50, not_in_mean=['car'])['runs'][0]['scores']
    assert found['mDice'] == pytest.approx((found['Dice.road'] + found['Dice.traffic_light']) / 2)


def test_means_are_those_of_the_runs():
    two = [replace(run(), not_in_mean=('car',)), replace(run(share=0.6), not_in_mean=('car',))]
    scores = compare_runs(two, ['a', 'b'], resamples=5)['runs'][0]['scores']
    assert scores['mIoU'] == pytest.approx((scores['IoU.road'] + scores['IoU.traffic_light']) / 2)
    mixed = [two[0], run(share=0.6)]
    with pytest.raises(ValueError, match=r"leave out \['car'\] and \[\]; say which"):
        compare_runs(mixed, ['a', 'b'], resamples=5)
    assert compare_runs(mixed, ['a', 'b'], resamples=5, not_in_mean=())['not_in_mean'] == []


def test_tables():
    report = compare_runs([run(num=30), run(num=30, share=0.9)], ['base', 'wide'], resamples=100)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(comparison_table(report), class_differences_table(report, report['runs'][1]))
    text = console.export_text()
    for expected in ('mIoU in percent, 30 images, 100 resamples', 'minus base', 'IoU.traffic_light', 'better', '+'):
        assert expected in text


def test_images_are_matched_by_name():
    first = run()
    order = np.random.default_rng(0).permutation(12)
    shuffled = ImageScores(
        Path('b'), tuple(first.images[i] for i in order), CLASSES, ClassCounts(*(v[order] for v in first.counts))
    )
    aligned = check_same_images([first, shuffled])[1]
    assert aligned.images == first.images
    for found, expected in zip(aligned.counts, first.counts, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_runs_on_other_data_are_refused():
    first = run('a/x.jsonl')
    other = run('b/x.jsonl', images=[*(f'{index}.png' for index in range(11)), 'new.png'])
    with pytest.raises(
        ValueError, match=r'a/x\.jsonl and b/x\.jsonl: the images differ: 1 images only in a/x.*11\.png'
    ):
        check_same_images([first, other])
    with pytest.raises(ValueError, match=r'1 images only in b/x\.jsonl, such as new\.png'):
        check_same_images([first, other])
    with pytest.raises(ValueError, match=r'the classes differ: road, .*tram'):
        check_same_images([first, run(classes=('road', 'traffic light', 'tram'))])
    with pytest.raises(ValueError, match=r'the ground truth differs: 0\.png has \d+ and \d+ pixels of road'):
        check_same_images([first, run(rows=(300, 20, 60))])


def test_bad_arguments_are_named():
    counts = class_counts(confusions())
    with pytest.raises(ValueError, match="'tram' is no class of this data; it has road, traffic light, car"):
        scores_of(counts, ['IoU.tram'], CLASSES)
    with pytest.raises(ValueError, match="'tram' is no class"):
        scores_of(counts, ['mIoU'], CLASSES, ['tram'])
    with pytest.raises(ValueError, match="'mAP': no such score"):
        scores_of(counts, ['mAP'], CLASSES)
    with pytest.raises(ValueError, match='at least one resample'):
        paired_bootstrap(counts, counts, ['mIoU'], CLASSES, 0)
    with pytest.raises(ValueError, match='expected the same images'):
        paired_bootstrap(counts, class_counts(confusions(5)), ['mIoU'], CLASSES, 5)


def test_sums_of_resamples_are_exact():
    counts = class_counts(confusions(6) * 10**9)
    times = next(resampled(6, 3, 0))
    for row, *sums in zip(times.astype(int), *summed(counts, times), strict=True):
        for found, values in zip(sums, counts, strict=True):
            assert found.tolist() == (row[:, None] * values).sum(0).tolist()


def test_labels_are_short_where_they_can_be():
    assert labels_of([Path('w/a'), Path('w/b')]) == ['a', 'b']
    assert labels_of([Path('x/a'), Path('y/a')]) == ['x/a', 'y/a']
