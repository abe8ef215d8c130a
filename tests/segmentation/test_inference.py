import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner, save_checkpoint

from mmext.common.running import drop_pretrained
from mmext.segmentation.inference import Segmenter, frame_pipeline

SMALL = {'model.backbone.base_channels': 8, 'model.backbone.stem_channels': 8}
SMALL_HEAD = {'model.decode_head.in_channels': [8, 16, 32, 64], 'model.decode_head.channels': 8}
OPTIONS = {**SMALL, **SMALL_HEAD}

pytestmark = pytest.mark.usefixtures('in_root')


@pytest.fixture(scope='module')
def frame(sample) -> np.ndarray:
    path = sorted((sample / 'training/image_2').glob('*.png'))[0]
    return cv2.imread(str(path))


def test_frame_pipeline_keeps_all_but_the_truth():
    pipeline = [dict(type=name) for name in ('LoadImageFromFile', 'Resize', 'LoadAnnotations', 'PackSegInputs')]
    assert [step['type'] for step in frame_pipeline(pipeline)] == ['LoadImageFromNDArray', 'Resize', 'PackSegInputs']
    assert pipeline[0]['type'] == 'LoadImageFromFile'


def test_labels_are_those_of_a_test_run(frame, sample, tmp_path):
    """The Runner's test over the sample and the Segmenter agree on every pixel, with the weights of a file."""
    cfg = Config.fromfile('configs/quickstart.py')
    cfg.merge_from_dict(OPTIONS)
    drop_pretrained(cfg)
    cfg.work_dir, cfg.visualizer.vis_backends = str(tmp_path), []
    cfg.test_dataloader.dataset.update(ann_file='train.txt', indices=1)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.default_hooks.visualization.draw = False
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    cfg.experiment_name = 'inference'
    runner = Runner.from_cfg(cfg)
    torch.manual_seed(3)
    torch.nn.init.normal_(runner.model.decode_head.conv_seg.weight)
    (batch,) = runner.test_dataloader
    # Without statistics of its own batch norm leaves random features alike all over the image.
    for module in runner.model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        runner.model.train()(runner.model.data_preprocessor(batch)['inputs'], mode='tensor')
    expected = runner.model.eval().test_step(batch)[0]
    save_checkpoint(dict(state_dict=runner.model.state_dict()), str(tmp_path / 'model.pth'))

    segmenter = Segmenter('configs/quickstart.py', tmp_path / 'model.pth', cfg_options=OPTIONS)
    path = expected.img_path
    (labels,) = segmenter([cv2.imread(path)])
    assert labels.dtype == np.uint8
    assert labels.shape == frame.shape[:2]
    assert np.array_equal(labels, expected.pred_sem_seg.data.squeeze(0).numpy())
    assert len(np.unique(labels)) > 3


def test_random_weights_follow_the_seed_and_frames_their_order(frame):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again, other = (Segmenter('configs/quickstart.py', seed=seed, cfg_options=OPTIONS) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    flipped = frame[:, ::-1].copy()
    one, two = first([frame, flipped])
    assert np.array_equal(again([frame])[0], one)
    assert np.array_equal(again([flipped])[0], two)
    assert not np.array_equal(other([frame])[0], one)
    assert (first.classes[0], first.palette[0]) == ('road', (128, 64, 128))


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (('configs/nothing.py',), FileNotFoundError, 'no such config'),
        (('configs/quickstart.py', 'nothing.pth'), FileNotFoundError, 'nothing.pth: no such checkpoint'),
        (('configs/_base_/runtime/segmentation.py',), ValueError, 'no test_dataloader'),
    ],
)
def test_what_is_missing_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Segmenter(*arguments)
