from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmext.segmentation.evaluation.seg_picture_hook import LEGEND_ROW, SegPictureHook, compose_picture, mix_colors

CLASSES = ('road', 'sky')
PALETTE = [[100, 0, 0], [0, 200, 0]]


def test_seven_to_three_by_hand():
    frame = np.full((1, 3, 3), 50, np.uint8)
    mixed = mix_colors(frame, np.array([[0, 1, 255]]), PALETTE, 0.7)
    assert mixed[0].tolist() == [[85, 15, 15], [15, 155, 15], [50, 50, 50]]


@pytest.mark.parametrize('mix', [0, 1])
def test_limits_are_the_frame_and_the_palette(mix):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, (5, 4))
    expected = np.asarray(PALETTE)[labels] if mix else frame
    np.testing.assert_array_equal(mix_colors(frame, labels, PALETTE, mix), expected)


def test_rows_and_legend():
    frame = np.zeros((10, 300, 3), np.uint8)
    labels = np.ones((10, 300), int)
    with_truth = compose_picture(frame, labels, labels * 0, CLASSES, PALETTE)
    assert with_truth.shape == (3 * 10 + LEGEND_ROW, 300, 3)
    assert compose_picture(frame, labels, None, CLASSES, PALETTE).shape == (2 * 10 + LEGEND_ROW, 300, 3)
    assert with_truth[30 + LEGEND_ROW // 2, 10].tolist() == PALETTE[0]


class Sample(SimpleNamespace):
    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)


@pytest.fixture
def run(tmp_path):
    """A runner that records pictures, and ten samples."""
    drawn = []
    visualizer = SimpleNamespace(
        dataset_meta=dict(classes=CLASSES, palette=PALETTE),
        add_image=lambda name, image, step: drawn.append((name, image.shape, step)),
    )
    samples = []
    for index in range(10):
        path = tmp_path / f'{index}.png'
        Image.new('RGB', (20, 8)).save(path)
        samples.append(Sample(img_path=str(path), pred_sem_seg=SimpleNamespace(data=torch.zeros(1, 8, 20).long())))
    return SimpleNamespace(visualizer=visualizer, iter=7), samples, drawn


def test_validation_stops_at_the_limit_and_starts_again(run):
    runner, samples, drawn = run
    hook = SegPictureHook(max_images=3)
    for _ in range(2):
        hook.before_val_epoch(runner)
        for start in range(0, 10, 2):
            hook.after_val_iter(runner, start, outputs=samples[start : start + 2])
    assert [name for name, _, _ in drawn] == ['val_0', 'val_1', 'val_2'] * 2
    assert drawn[0][1:] == ((2 * 8 + LEGEND_ROW, 20, 3), 7)


def test_tests_draw_everything_unless_switched_off(run):
    runner, samples, drawn = run
    SegPictureHook(max_images=1).after_test_iter(runner, 0, outputs=samples)
    assert len(drawn) == 10
    SegPictureHook(draw=False).after_test_iter(runner, 0, outputs=samples)
    assert len(drawn) == 10


def test_a_test_needs_no_training_data(run):
    runner, samples, drawn = run
    del runner.iter  # mmengine's property builds the training loop
    SegPictureHook().after_test_iter(runner, 0, outputs=samples[:1])
    assert drawn[0][2] == 0


def test_only_the_first_process_draws(run, monkeypatch):
    runner, samples, drawn = run
    monkeypatch.setattr('mmext.segmentation.evaluation.seg_picture_hook.is_main_process', lambda: False)
    runner.visualizer.dataset_meta = None  # what the other processes have
    SegPictureHook().after_test_iter(runner, 0, outputs=samples)
    assert drawn == []


def test_mix_is_a_share():
    with pytest.raises(ValueError, match=r'mix=1\.5'):
        SegPictureHook(mix=1.5)


def test_registry_builds_it():
    from mmseg.registry import HOOKS

    assert HOOKS.build(dict(type='SegPictureHook', draw=False)).draw is False
