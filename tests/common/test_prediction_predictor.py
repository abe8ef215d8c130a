"""Predictions of all three toolboxes equal those of the toolboxes' own inference, file by file and in batches."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from mmext.common.checkpoints import CheckpointError
from mmext.common.prediction.predictor import (
    Predictor,
    UnreadableImageError,
    classes_and_palette,
    load_weights,
    to_rgb,
    unlabelled_pipeline,
)
from mmext.common.running import drop_pretrained

BACKBONE = "type='ResNet', depth=18, base_channels=8, stem_channels=8"
RGB = 'mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]'
DETECTOR = f"""
default_scope = 'mmdet'
mean_std = dict({RGB})
anchors = dict(type='AnchorGenerator', scales=[4], ratios=[0.5, 1.0, 2.0], strides=[8, 16, 32])
model = dict(
    type='MaskRCNN',
    train_cfg=None,
    data_preprocessor=dict(type='DetDataPreprocessor', bgr_to_rgb=True, pad_size_divisor=32, **mean_std),
    backbone=dict({BACKBONE}, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, start_level=1, num_outs=3),
    rpn_head=dict(type='RPNHead', in_channels=8, feat_channels=8, anchor_generator=anchors,
                  bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
                  loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True), loss_bbox=dict(type='L1Loss')),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(type='SingleRoIExtractor', out_channels=8, featmap_strides=[8, 16, 32],
                                roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
        bbox_head=dict(type='Shared2FCBBoxHead', in_channels=8, fc_out_channels=16, num_classes=20,
                       bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
                       loss_cls=dict(type='CrossEntropyLoss'), loss_bbox=dict(type='L1Loss')),
        mask_roi_extractor=dict(type='SingleRoIExtractor', out_channels=8, featmap_strides=[8, 16, 32],
                                roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)),
        mask_head=dict(type='FCNMaskHead', num_convs=1, in_channels=8, conv_out_channels=8, num_classes=20,
                       loss_mask=dict(type='CrossEntropyLoss', use_mask=True))),
    test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
                  rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10,
                            mask_thr_binary=0.5)))
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'source')
test_dataloader = dict(dataset=dict(type='RepeatDataset', times=1, dataset=dict(type='VOCDataset', pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 96), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=meta_keys)])))
"""
CLASSIFIER = f"""
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(to_rgb=True, num_classes=10, {RGB}),
    backbone=dict({BACKBONE}),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64, loss=dict(type='CrossEntropyLoss')))
test_dataloader = dict(dataset=dict(type='CIFAR10', data_root='nowhere', pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=40, edge='short'),
    dict(type='CenterCrop', crop_size=32),
    dict(type='PackInputs')]))
"""
SEGMENTER = f"""
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True, {RGB}),
    backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, norm_cfg=dict(type='SyncBN')),
    decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, num_classes=19,
                     norm_cfg=dict(type='SyncBN'), loss_decode=dict(type='CrossEntropyLoss')),
    test_cfg=dict(mode='whole'))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 64), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')]
test_dataloader = dict(dataset=dict(type='CityscapesDataset', pipeline=test_pipeline))
"""
CONFIGS = {'detection': DETECTOR, 'classification': CLASSIFIER, 'segmentation': SEGMENTER}
CLASSES = {'detection': 'aeroplane', 'classification': 'airplane', 'segmentation': 'road'}
TASKS = sorted(CONFIGS)


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Config and checkpoint of a tiny model for each task; its random outputs differ between places."""
    folder = tmp_path_factory.mktemp('models')
    found = {}
    for task, text in CONFIGS.items():
        config, checkpoint = folder / f'{task}.py', folder / f'{task}.pth'
        config.write_text(text)
        cfg = Config.fromfile(config)
        drop_pretrained(cfg)
        with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.random.fork_rng():
            torch.manual_seed(0)
            model = MODELS.build(cfg.model)
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.kaiming_normal_(parameter)
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, checkpoint)
        found[task] = config, checkpoint
    return found


@pytest.fixture(scope='module')
def predictors(models) -> dict[str, Predictor]:
    return {task: Predictor(*files, device='cpu') for task, files in models.items()}


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> list[Path]:
    """Pictures of two sizes in turn; the last one lies on its side and says so in its EXIF data."""
    folder = tmp_path_factory.mktemp('files')
    rng = np.random.default_rng(0)
    found = []
    for index in range(6):
        height, width = (60, 80) if index % 2 else (96, 72)
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
        found.append(folder / f'{index}.png')
        image.save(found[-1])
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(folder / 'turned.jpg', exif=exif)
    return [*found, folder / 'turned.jpg']


def predict(predictor: Predictor, paths, size: int = 1) -> list:
    prepared = [predictor.read(path) for path in paths]
    return [sample for start in range(0, len(prepared), size) for sample in predictor(prepared[start : start + size])]


def assert_same(task: str, one, other, tolerance: float = 1e-5) -> None:
    """Two data samples of a task tell the same; boxes to a hundred times the tolerance, in pixels."""
    if task == 'classification':
        torch.testing.assert_close(one.pred_score, other.pred_score, rtol=0, atol=tolerance)
    elif task == 'segmentation':
        torch.testing.assert_close(one.seg_logits.data, other.seg_logits.data, rtol=1e-5, atol=10 * tolerance)
        assert (one.pred_sem_seg.data == other.pred_sem_seg.data).float().mean() > 0.999
    else:
        first, second = one.pred_instances, other.pred_instances
        assert len(first) == len(second) > 0
        for name, factor in (('scores', 1), ('bboxes', 100), ('labels', 0)):
            torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=factor * tolerance)
        assert (first.masks == second.masks).float().mean() > 0.999


def upstream(task: str, config: Path, checkpoint: Path, paths: list[Path]) -> list:
    """The toolbox's own inference, one file at a time."""
    cfg = Config.fromfile(config)
    drop_pretrained(cfg)
    if task == 'detection':
        from mmdet.apis import inference_detector, init_detector

        cfg.test_dataloader.dataset = cfg.test_dataloader.dataset.dataset  # it looks no deeper
        model = init_detector(cfg, str(checkpoint), palette='random', device='cpu')
        return [inference_detector(model, str(path)) for path in paths]
    if task == 'segmentation':
        from mmengine.model import revert_sync_batchnorm
        from mmseg.apis import inference_model, init_model

        model = revert_sync_batchnorm(init_model(cfg, str(checkpoint), device='cpu'))
        return [inference_model(model, str(path)) for path in paths]
    from mmpretrain.apis import ImageClassificationInferencer

    inferencer = ImageClassificationInferencer(cfg, str(checkpoint), device='cpu')
    return [inferencer(str(path), return_datasamples=True)[0] for path in paths]


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.filterwarnings('ignore')
def test_predictions_are_those_of_the_toolbox(task, models, predictors, files):
    config, checkpoint = models[task]
    with DefaultScope.overwrite_default_scope(Config.fromfile(config).default_scope):
        expected = upstream(task, config, checkpoint, files)
    for one, other in zip(predict(predictors[task], files), expected, strict=True):
        assert_same(task, one, other)
    if task == 'segmentation':
        assert len(expected[0].pred_sem_seg.data.unique()) > 1
    if task == 'classification':
        assert not torch.allclose(expected[0].pred_score, expected[1].pred_score, atol=1e-3)


@pytest.mark.parametrize('task', TASKS)
def test_batches_change_nothing(task, predictors, files):
    alike = files[0:6:2]
    predictor = predictors[task]
    assert len({predictor.batch_key(predictor.read(path)) for path in alike}) == 1
    for one, other in zip(predict(predictor, alike, 3), predict(predictor, alike, 1), strict=True):
        assert_same(task, one, other, 1e-4)  # convolutions of a batch add up in another order


def test_detection_batches_may_differ_in_size_where_the_padding_makes_up_for_it(predictors, tmp_path):
    """70 x 128 and 90 x 128 both are padded to 96 x 128."""
    paths = [tmp_path / '0.png', tmp_path / '1.png']
    for path, height in zip(paths, (70, 90), strict=True):
        noise = np.random.default_rng(height).integers(0, 256, (height, 128, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    predictor = predictors['detection']
    prepared = [predictor.read(path) for path in paths]
    assert prepared[0].inputs.shape != prepared[1].inputs.shape
    assert predictor.batch_key(prepared[0]) == predictor.batch_key(prepared[1])
    for one, other in zip(predict(predictor, paths, 2), predict(predictor, paths, 1), strict=True):
        assert_same('detection', one, other, 1e-4)


@pytest.mark.parametrize('task', TASKS)
def test_turned_pictures_stand_upright(task, predictors, files):
    prepared = predictors[task].read(files[-1])
    with Image.open(files[-1]) as image:
        assert image.size == (80, 60)
    assert prepared.size_hw == (80, 60)
    assert prepared.picture.shape == (80, 60, 3)
    assert np.array_equal(prepared.picture[..., ::-1], cv2.imread(str(files[-1])))
    sample = predict(predictors[task], files[-1:])[0]
    if task == 'segmentation':
        assert sample.pred_sem_seg.shape == (80, 60)
    if task == 'detection':
        boxes = sample.pred_instances.bboxes
        assert boxes[:, [0, 2]].max() <= 60 < boxes[:, [1, 3]].max()


@pytest.mark.parametrize('task', TASKS)
def test_a_prepared_picture_can_be_used_again(task, predictors, files):
    prepared = predictors[task].read(files[0])
    first, second = (predictors[task]([prepared])[0] for _ in range(2))
    assert_same(task, first, second)
    assert first is not second


@pytest.mark.parametrize('task', TASKS)
def test_classes_of_the_config_and_share_of_the_checkpoint(task, predictors):
    assert predictors[task].task == task
    assert predictors[task].classes[0] == CLASSES[task]
    assert len(predictors[task].palette) == (0 if task == 'classification' else len(predictors[task].classes))
    assert predictors[task].weights[1:] == (1, [])
    assert not predictors[task].model.training


@pytest.mark.parametrize('mode', ['L', 'LA', 'RGBA', 'P', 'CMYK', '1', 'I;16'])
def test_pictures_of_any_mode(mode, predictors, tmp_path):
    grey = np.linspace(0, 255, 40 * 50).reshape(40, 50)
    image = (
        Image.fromarray((grey * 257).astype(np.uint16)) if mode == 'I;16' else Image.fromarray(grey.astype(np.uint8))
    )
    path = tmp_path / ('x.jpg' if mode == 'CMYK' else 'x.png')
    (image if mode == 'I;16' else image.convert(mode)).save(path)
    prepared = predictors['classification'].read(path)
    assert prepared.picture.shape == (40, 50, 3)
    assert prepared.inputs.shape == (3, 32, 32)
    if mode != '1':  # black and white alone
        assert np.abs(prepared.picture.mean(-1) - grey).max() < 6


@pytest.mark.parametrize(
    ('name', 'content', 'reason'),
    [
        ('empty.png', b'', 'the file is empty'),
        ('text.png', b'not a picture', 'damaged, cut off, or not a picture'),
        ('gone.png', None, 'No such file'),
        ('folder.png', 'folder', 'Is a directory'),
        ('cut.png', 'cut', 'damaged, cut off'),
        ('cut.jpg', 'cut', 'damaged, cut off'),
    ],
)
def test_files_that_cannot_be_read_say_why(name, content, reason, predictors, files, tmp_path):
    path = tmp_path / name
    if content == 'folder':
        path.mkdir()
    elif content == 'cut':
        whole = (files[0] if path.suffix == '.png' else files[-1]).read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        predictors['classification'].read(path)


def test_a_transform_that_fails_is_named(predictors, files, monkeypatch):
    def fail(results):
        raise KeyError('gt_label')

    monkeypatch.setattr(predictors['classification'], '_prepare', fail)
    with pytest.raises(UnreadableImageError, match=r"the test pipeline fails: KeyError: 'gt_label'"):
        predictors['classification'].read(files[0])


def test_a_preprocessor_beside_the_model_is_used_as_a_runner_uses_it(models, tmp_path):
    config, checkpoint = models['classification']
    inside = '    data_preprocessor=dict(to_rgb=True'
    text = Path(config).read_text()
    assert inside in text
    start = text.index(inside)
    line = text[start : text.index('\n', start) + 1]
    beside = tmp_path / 'beside.py'
    beside.write_text(text.replace(line, '') + line.strip().rstrip(',') + '\n')
    settings = [Predictor(each, checkpoint).model.data_preprocessor for each in (config, beside)]
    assert settings[0].mean.equal(settings[1].mean)
    assert settings[0].to_rgb == settings[1].to_rgb is True


def test_classes_of_the_checkpoint_come_first(models, tmp_path):
    config, checkpoint = models['classification']
    content = torch.load(checkpoint)
    for meta in ({'dataset_meta': {'classes': list('abcdefghij')}}, {'CLASSES': tuple('abcdefghij')}):
        torch.save({**content, 'meta': meta}, tmp_path / 'w.pth')
        assert Predictor(config, tmp_path / 'w.pth', device='cpu').classes == tuple('abcdefghij')


def test_palette_needs_a_colour_for_each_class():
    config = {'classes': ('x', 'y'), 'palette': [(1, 2, 3), (4, 5, 6)]}
    assert classes_and_palette({}, config) == (('x', 'y'), config['palette'])
    saved = {'dataset_meta': {'CLASSES': ['a'], 'PALETTE': [[7, 8, 9]]}}
    assert classes_and_palette(saved, config) == (('a',), [(7, 8, 9)])
    assert classes_and_palette({'dataset_meta': {'classes': ['a', 'b']}}, config) == (('a', 'b'), config['palette'])
    assert classes_and_palette({'dataset_meta': {'classes': ['a']}}, config) == (('a',), [])
    assert classes_and_palette({'dataset_meta': {'classes': ['a'], 'palette': 'random'}}, {}) == (('a',), [])
    assert classes_and_palette({}, {'classes': 'names.txt'}) == ((), [])
    assert classes_and_palette({'epoch': 3}, {}) == ((), [])


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(3, 2), torch.nn.Linear(3, 1)  # 8 and 4 numbers


def test_share_of_the_parameters_counts_numbers(tmp_path):
    torch.save(
        {'state_dict': {f'module.{name}': value for name, value in Net().a.state_dict(prefix='a.').items()}},
        tmp_path / 'w.pth',
    )
    net = Net()
    loaded = load_weights(net, tmp_path / 'w.pth')
    assert loaded == ({}, pytest.approx(8 / 12), ['b.weight', 'b.bias'])
    assert torch.equal(net.a.weight, torch.load(tmp_path / 'w.pth')['state_dict']['module.a.weight'])


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            {'state_dict': {'b.weight': torch.zeros(1, 3), 'a.weight': torch.zeros(5, 3)}},
            r'w\.pth: only 25\.0%.*1 of 4',
        ),
        ({'other': torch.zeros(1)}, r'only 0\.0%.*a\.weight for one'),
        ([1, 2], r'w\.pth: holds no tensors'),
        (b'', r'w\.pth: the file is empty'),
        (b'<html></html>', r'w\.pth: a web page'),
        ({'state_dict': [1]}, r'w\.pth: no checkpoint that can be read'),
        ({'a.weight': torch.zeros(2, 3), 'other': Path('x')}, r'w\.pth: refused, .*pathlib'),
    ],
)
@pytest.mark.filterwarnings('ignore')
def test_weights_of_another_model_are_refused(content, message, tmp_path):
    if isinstance(content, bytes):
        (tmp_path / 'w.pth').write_bytes(content)
    else:
        torch.save(content, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=message):
        load_weights(Net(), tmp_path / 'w.pth')


def test_weights_of_another_config_name_both(models):
    wider = {'model.backbone.base_channels': 16, 'model.head.in_channels': 128}
    with pytest.raises(ValueError, match=r'classification\.pth: only .* \(config .*classification\.py\)'):
        Predictor(*models['classification'], device='cpu', cfg_options=wider)


@pytest.mark.parametrize(
    ('text', 'error'),
    [
        ("model = dict(type='X')", 'default_scope is None, not one of mmseg, mmdet, mmpretrain'),
        ("default_scope = 'mmseg'", 'no model; give a leaf config'),
        ("default_scope = 'mmseg'\nmodel = dict()", 'no test pipeline'),
        ("default_scope = 'mmseg'\nmodel = dict()\ntest_pipeline = [dict(type='Resize')]", 'begins with Resize'),
        (
            "default_scope = 'mmseg'\nmodel = dict()\ntest_pipeline = [dict(type='mmcv.TestTimeAug')]",
            'has TestTimeAug',
        ),
    ],
)
def test_configs_that_cannot_predict_are_named(text, error, tmp_path):
    (tmp_path / 'c.py').write_text(text)
    torch.save({}, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=rf'c\.py: .*{error}'):
        Predictor(tmp_path / 'c.py', tmp_path / 'w.pth')


def test_what_is_missing_is_named(models, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.pth: no such checkpoint'):
        Predictor(models['classification'][0], tmp_path / 'gone.pth')
    with pytest.raises(FileNotFoundError, match='no such config'):
        Predictor(tmp_path / 'gone.py', models['classification'][1])
    with pytest.raises(ValueError, match='--device cuda:99: not on this machine'):
        Predictor(*models['classification'], device='cuda:99')
    with pytest.raises(ValueError, match='--device gpu'):
        Predictor(*models['classification'], device='gpu')


def test_pipeline_is_found_in_wrappers_and_loads_no_annotations():
    steps = [dict(type=name) for name in ('LoadImageFromFile', 'mmdet.LoadPanopticAnnotations', 'Resize', 'LoadX')]
    for dataset in (
        dict(pipeline=steps),
        dict(dataset=dict(pipeline=steps)),
        dict(datasets=[dict(dataset=dict(pipeline=steps)), dict(pipeline=[])]),
    ):
        found = unlabelled_pipeline(Config(dict(test_dataloader=dict(dataset=dataset))), 'c.py')
        assert [step['type'] for step in found] == ['LoadImageFromFile', 'Resize', 'LoadX']
    assert len(unlabelled_pipeline(Config(dict(test_pipeline=steps)), 'c.py')) == 3


def test_rgb_of_any_depth_and_number_of_channels():
    blue = np.zeros((2, 3, 3), np.uint8)
    blue[..., 0] = 255
    assert to_rgb(blue)[0, 0].tolist() == [0, 0, 255]
    assert to_rgb(blue.astype(np.float32))[0, 0].tolist() == [0, 0, 255]
    assert to_rgb(blue.astype(np.uint16) * 257)[0, 0].tolist() == [0, 0, 255]
    assert to_rgb(np.dstack([blue, blue]))[0, 0].tolist() == [0, 0, 255]
    assert to_rgb(blue[..., 0])[0, 0].tolist() == [255, 255, 255]
    assert to_rgb(blue[..., :1]).shape == (2, 3, 3)
    assert not np.shares_memory(to_rgb(blue), blue)


class Attack:
    """Unpickling it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return exec, (f'open({str(self.canary)!r}, "w").close()',)


@pytest.mark.parametrize('task', TASKS)
def test_hostile_checkpoints_are_refused(models, tmp_path, task):
    config, checkpoint = models[task]
    torch.save({**torch.load(checkpoint), 'extra': Attack(tmp_path / 'canary')}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=r'w\.pth: refused, .*exec.* --trust-checkpoint [0-9a-f]{64}$'):
        Predictor(config, tmp_path / 'w.pth', device='cpu')
    assert not (tmp_path / 'canary').exists()
    torch.load(tmp_path / 'w.pth', weights_only=False)
    assert (tmp_path / 'canary').exists()
