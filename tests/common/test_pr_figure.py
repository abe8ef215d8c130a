import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmext.common.detection_scores import ALL, score_detections
from mmext.common.detection_set import detection_set
from mmext.common.pr_figure import pr_figure, save_pr_figure

CASES = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name('detection_cases.py'))))


@pytest.fixture(scope='module')
def scores():
    """Of six classes the last two have no object."""
    return score_detections(detection_set((*CASES.CLASSES, 'bus', 'car'), CASES.random_images(1)))


def test_one_panel_a_class(scores):
    panels = [axes for axes in pr_figure(scores).axes if axes.get_visible()]
    assert len(panels) == 6
    ap = scores.sources[ALL].ap['area'][0]
    assert [axes.get_title() for axes in panels] == [
        *(f'{name}  {value:.3f}' for name, value in zip(CASES.CLASSES, ap, strict=False)),
        'bus',
        'car',
    ]
    assert panels[4].texts[0].get_text() == 'no object'
    assert f'{np.nanmean(ap):.3f}' in pr_figure(scores)._suptitle.get_text()


def test_the_filled_area_is_the_ap(scores):
    panels = pr_figure(scores).axes
    for index, value in enumerate(scores.sources[ALL].ap['area'][0, :4]):
        recall, precision = panels[index].lines[0].get_data()
        assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(value)
        assert (np.diff(precision) <= 0).all()


def test_the_dot_is_at_the_score_threshold(scores):
    part = scores.sources[ALL].at_threshold()
    for index, axes in enumerate(pr_figure(scores).axes[:4]):
        dot = axes.lines[-1]
        assert [dot.get_xdata()[0], dot.get_ydata()[0]] == [part['recall'][index], part['precision'][index]]


def test_a_class_that_nothing_was_found_of():
    images = [
        row._replace(boxes=row.boxes[:0], scores=row.scores[:0], labels=row.labels[:0])
        for row in CASES.random_images(1)
    ]
    figure = pr_figure(score_detections(detection_set(CASES.CLASSES, images)))
    assert figure.axes[0].texts[0].get_text() == 'no detection'
    assert figure.axes[0].get_title() == 'aeroplane  0.000'


@pytest.mark.parametrize('names', [(), ('cat',)])
def test_nothing_to_draw(names, tmp_path):
    save_pr_figure(tmp_path / 'pr.png', score_detections(detection_set(names, [])))
    assert Image.open(tmp_path / 'pr.png').size[0] > 100


def test_file(scores, tmp_path):
    save_pr_figure(tmp_path / 'new' / 'pr.png', scores)
    picture = np.asarray(Image.open(tmp_path / 'new' / 'pr.png').convert('RGB'))
    assert picture.std() > 10
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['pr.png']
