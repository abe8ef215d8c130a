from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmext.segmentation.datasets.label_maps import CLASSES, to_label_ids
from mmext.segmentation.evaluation import LabelMapHook


def runner(classes=CLASSES, messages=None):
    dataset = SimpleNamespace(metainfo=dict(classes=classes))
    logger = SimpleNamespace(info=(messages if messages is not None else []).append)
    return SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset), logger=logger)


def sample(path: str, labels: torch.Tensor):
    return SimpleNamespace(img_path=path, pred_sem_seg=SimpleNamespace(data=labels[None]))


@pytest.mark.parametrize('label_ids', [False, True])
def test_files_hold_the_predictions(tmp_path, label_ids):
    labels = torch.randint(0, 19, (5, 7), generator=torch.Generator().manual_seed(0))
    messages = []
    hook = LabelMapHook(str(tmp_path / 'out'), label_ids)
    hook.before_test(runner(messages=messages))
    hook.after_test_iter(None, 0, outputs=[sample('x/a.png', labels), sample('x/b.jpg', labels * 0)])
    hook.after_test(runner(messages=messages))
    with Image.open(tmp_path / 'out' / 'a.png') as image:
        assert image.mode == 'L'
        stored = np.asarray(image)
    expected = labels.numpy().astype(np.uint8)
    np.testing.assert_array_equal(stored, to_label_ids(expected) if label_ids else expected)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['a.png', 'b.png']
    assert messages == [f'2 label images ({"label ids" if label_ids else "trainIds"}) are in {tmp_path / "out"}']


def test_two_images_of_one_name_are_refused(tmp_path):
    hook = LabelMapHook(str(tmp_path))
    hook.before_test(runner())
    labels = torch.zeros(2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r'y/a\.png and x/a\.png'):
        hook.after_test_iter(None, 0, outputs=[sample('x/a.png', labels), sample('y/a.png', labels)])


def test_label_ids_of_other_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match='19 Cityscapes classes'):
        LabelMapHook(str(tmp_path), label_ids=True).before_test(runner(('cat', 'dog')))


def test_registry_builds_it(tmp_path):
    from mmseg.registry import HOOKS

    assert isinstance(HOOKS.build(dict(type='LabelMapHook', out_dir=str(tmp_path))), LabelMapHook)
