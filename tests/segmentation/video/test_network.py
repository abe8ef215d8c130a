from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from mmext.segmentation.inference import Segmenter
from mmext.segmentation.video.network import SegmenterModel, largest, predict_labels

QUICKSTART = 'configs/quickstart.py'
OPTIONS = {'model.backbone.base_channels': 8, 'model.backbone.stem_channels': 8}
OPTIONS |= {'model.decode_head.in_channels': [8, 16, 32, 64], 'model.decode_head.channels': 8}
OPTIONS['test_dataloader.dataset.pipeline.1.scale'] = (160, 64)

pytestmark = pytest.mark.usefixtures('in_root')


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(3)]


@pytest.fixture
def model(weights) -> SegmenterModel:
    return SegmenterModel('a', QUICKSTART, weights, 'cpu', cfg_options=OPTIONS)


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> Path:
    """Of a network that does not say the same everywhere, as small random ones do."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        network = SegmenterModel('a', QUICKSTART, device='cpu', cfg_options=OPTIONS)._segmenter.model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.normal_(network.decode_head.conv_seg.weight)
    path = tmp_path_factory.mktemp('model') / 'w.pth'
    torch.save({'state_dict': network.state_dict()}, path)
    return path


@pytest.mark.parametrize('count', [1, 3])
def test_labels_are_those_of_a_test_step(model, weights, frames, count):
    """Frames are padded here: the preprocessor's size is larger than that of the pipeline."""
    prepared = [model.prepare(frame) for frame in frames[:count]]
    found = model(prepared)
    segmenter = Segmenter(QUICKSTART, weights, 'cpu', cfg_options=OPTIONS)
    expected = segmenter(frames[:count])
    assert all(labels.dtype == np.uint8 and labels.shape == (50, 70) for labels in found)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(np.unique(found)) > 1


def test_a_model_that_predicts_in_its_own_way_does_so(model, frames):
    network = model._segmenter.model
    batch = pseudo_collate([model.prepare(frames[0])])

    class Own(type(network)):
        def predict(self, inputs, data_samples=None):
            samples = super().predict(inputs, data_samples)
            samples[0].pred_sem_seg.data[:] = 7
            return samples

    network.__class__ = Own
    with torch.inference_mode():
        assert (predict_labels(network, batch)[0] == 7).all()


def test_largest_by_hand():
    logits = torch.zeros(3, 4, 5)
    logits[1, :, 2] = 1
    logits[2, 3] = 9  # padding
    labels = largest(logits, {'ori_shape': (3, 4), 'padding_size': (0, 1, 0, 1)}, False)
    assert labels.tolist() == [[0, 0, 1, 0]] * 3


def test_the_first_of_equal_classes_as_argmax():
    logits = torch.randint(3, (5, 40, 60), generator=torch.Generator().manual_seed(0)).float()
    labels = largest(logits, {'ori_shape': (40, 60)}, False)
    assert torch.equal(labels, logits.argmax(dim=0))


def test_identity_follows_config_weights_and_precision(model, weights):
    assert SegmenterModel('b', QUICKSTART, weights, 'cpu', cfg_options=OPTIONS).identity == model.identity
    others = [
        SegmenterModel('a', QUICKSTART, device='cpu', cfg_options=OPTIONS),
        SegmenterModel('a', QUICKSTART, weights, 'cpu', amp=True, cfg_options=OPTIONS),
        SegmenterModel('a', QUICKSTART, weights, 'cpu', cfg_options={**OPTIONS, 'model.test_cfg.x': 1}),
    ]
    assert all(other.identity != model.identity for other in others)


def test_mixed_precision_says_nearly_the_same(model, weights, frames):
    half = SegmenterModel('a', QUICKSTART, weights, 'cpu', amp=True, cfg_options=OPTIONS)
    a, b = (np.stack(net([net.prepare(frame) for frame in frames])) for net in (model, half))
    assert 0.9 < (a == b).mean() < 1


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match='--device abacus: not on this machine'):
        SegmenterModel('a', QUICKSTART, device='abacus')
