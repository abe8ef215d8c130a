"""The distiller on tiny networks: what learns, what is saved, what is logged, and what each mistake says."""

import copy
import json
import logging

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.runner import Runner, load_checkpoint
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmext.analysis.flops import count_flops
from mmext.segmentation.models.losses.channel_wise_divergence import channel_wise_divergence

MEAN = [123.675, 116.28, 103.53]


def network(width: int = 4, channels: int = 8, classes: int = 5) -> dict:
    norm = dict(type='BN')
    backbone = dict(type='ResNetV1c', depth=18, base_channels=width, stem_channels=8, strides=(1, 2, 1, 1))
    head = dict(num_classes=classes, norm_cfg=norm, loss_decode=dict(type='ClassBalancedLoss'))
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=MEAN, std=[58.4, 57.1, 57.4], bgr_to_rgb=True, size=(32, 32)
        ),
        backbone=dict(**backbone, dilations=(1, 1, 2, 4), norm_cfg=norm),
        decode_head=dict(
            type='PSPHead', in_channels=8 * width, in_index=3, channels=channels, pool_scales=(1, 2), **head
        ),
        auxiliary_head=dict(
            type='FCNHead', in_channels=4 * width, in_index=2, channels=channels, num_convs=1, **copy.deepcopy(head)
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def distiller(**settings):
    """A student of width 4 and a teacher of width 8 with random weights."""
    settings = dict(student=ConfigDict(network()), teacher=network(8, 16), teacher_checkpoint=None) | settings
    return MODELS.build(dict(type='ChannelWiseDistiller', **settings))


def sample(size: int = 32) -> dict:
    labels = torch.randint(5, (1, size, size))
    labels[:, :4] = 255
    packed = SegDataSample(
        gt_sem_seg=PixelData(data=labels), metainfo=dict(img_shape=(size, size), ori_shape=(size, size))
    )
    return dict(inputs=torch.randint(256, (3, size, size), dtype=torch.uint8), data_samples=packed)


def batch(model, count: int = 2) -> dict:
    samples = [sample() for _ in range(count)]
    data = {key: [one[key] for one in samples] for key in ('inputs', 'data_samples')}
    return model.data_preprocessor(data, training=True)


def runner(model, folder, iterations: int = 3, **settings) -> Runner:
    return Runner(
        model,
        str(folder),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=[sample() for _ in range(4)],
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=iterations),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=iterations),
        ),
        log_processor=dict(by_epoch=False),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        default_scope='mmseg',
        experiment_name=f'{folder.parent.name}_{folder.name}_{iterations}',
        **settings,
    )


@pytest.fixture
def teacher_file(tmp_path):
    """The weights of a teacher, in a config and a checkpoint as a training leaves them."""
    config = tmp_path / 'teacher.py'
    config.write_text(f"default_scope = 'mmseg'\nmodel = {network(8, 16)!r}\n")
    checkpoint = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=MODELS.build(network(8, 16)).state_dict(), meta={}), checkpoint)
    return str(config), str(checkpoint)


def test_student_learns_and_teacher_stays(teacher_file, tmp_path):
    config, checkpoint = teacher_file
    model = distiller(teacher=config, teacher_checkpoint=checkpoint)
    model.init_weights()
    start = copy.deepcopy(model.state_dict())
    runner(model, tmp_path / 'run').train()
    weights = torch.load(checkpoint)['state_dict']
    assert all(value.equal(weights[name]) for name, value in model.teacher.state_dict().items())
    assert not any(value.equal(start[name]) for name, value in model.named_parameters() if value.ndim == 4)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.teacher.parameters())
    assert model.training
    assert not any(module.training for module in model.teacher.modules())


def test_checkpoint_is_the_students(tmp_path):
    model = distiller()
    runner(model, tmp_path / 'run').train()
    file = tmp_path / 'run' / 'iter_3.pth'
    plain = MODELS.build(network())
    plain.load_state_dict(torch.load(file, weights_only=False)['state_dict'], strict=True)
    inputs = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(inputs), model.eval()(inputs), rtol=0, atol=0)
    # the other direction: a student that was trained alone goes on with a teacher
    load_checkpoint(distiller(), str(file), strict=True)


def test_resume_goes_on_with_optimiser_and_projections(teacher_file, tmp_path):
    config, checkpoint = teacher_file
    pair = dict(
        student_layer='backbone.layer4', teacher_layer='backbone.layer4', student_channels=32, teacher_channels=64
    )

    def build():
        return distiller(teacher=config, teacher_checkpoint=checkpoint, distill=[pair])

    first = runner(build(), tmp_path / 'run')
    first.train()
    second = runner(build(), tmp_path / 'run', 4, load_from=str(tmp_path / 'run' / 'iter_3.pth'), resume=True)
    load_or_resume, resumed = second.load_or_resume, {}

    def watched():
        load_or_resume()
        resumed.update(copy.deepcopy(second.model.state_dict()))

    second.load_or_resume = watched
    second.train()
    assert second.iter == 4
    assert 'distill_projections.0.weight' in resumed
    assert all(value.equal(resumed[name]) for name, value in first.model.state_dict().items())
    with pytest.raises(RuntimeError, match=r'Unexpected key.*distill_projections'):
        MODELS.build(network()).load_state_dict(first.model.state_dict(), strict=True)
    load_checkpoint(MODELS.build(network()), str(tmp_path / 'run' / 'iter_3.pth'))


def test_loss_is_the_students_plus_the_divergence_of_the_logits():
    model = distiller(distill=[dict(loss=dict(type='ChannelWiseDivergence', tau=2, loss_weight=3))])
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm | torch.nn.Dropout2d):
            module.eval()
    data = batch(model)
    losses = model(**data, mode='loss')
    plain = MODELS.build(network()).train()
    plain.load_state_dict(model.state_dict())
    for ours, theirs in zip(plain.modules(), model.modules(), strict=False):
        ours.training = theirs.training
    for name, value in plain(**data, mode='loss').items():
        torch.testing.assert_close(losses[name], value)
    with torch.no_grad():
        expected = 3 * channel_wise_divergence(
            model._forward(data['inputs']), model.teacher._forward(data['inputs']), 2
        )
    torch.testing.assert_close(losses['distill.loss_cwd'], expected)
    total, logged = model.parse_losses(losses)
    summed = [value for name, value in losses.items() if name.rpartition('.')[2].startswith('loss')]
    assert len(summed) == 3
    torch.testing.assert_close(total, sum(summed))
    assert {'student.ce', 'teacher.ce'} <= set(logged)


def test_a_student_like_its_teacher_has_nothing_to_learn_from_it(tmp_path):
    model = distiller(teacher=network(), teacher_checkpoint=None)
    model.teacher.load_state_dict(model.state_dict())
    for module in model.modules():
        module.training = module is model
    losses = model(**batch(model), mode='loss')
    assert losses['distill.loss_cwd'].item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(losses['student.ce'], losses['teacher.ce'])
    assert not losses['student.ce'].requires_grad


def test_all_pixels_ignored():
    model = distiller().train()
    data = batch(model)
    for one in data['data_samples']:
        one.gt_sem_seg.data.fill_(255)
    losses = model(**data, mode='loss')
    assert losses['teacher.ce'] == losses['student.ce'] == 0
    losses['distill.loss_cwd'].backward()
    assert model.decode_head.conv_seg.weight.grad.isfinite().all()


def test_layers_of_other_sizes_and_channels():
    teacher = network(8, 16)
    teacher['backbone'].update(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))
    layers = dict(student_layer='backbone.layer4', teacher_layer='backbone.layer4')
    model = distiller(teacher=teacher, distill=[dict(**layers, student_channels=32, teacher_channels=64), {}]).train()
    losses = model(**batch(model), mode='loss')
    assert {'distill_0.loss_cwd', 'distill_1.loss_cwd'} < set(losses)
    model.parse_losses(losses)[0].backward()
    assert model.distill_projections[0].weight.grad.abs().sum() > 0
    assert 'distill_projections.0.weight' in dict(model.named_parameters())


def test_evaluation_never_touches_the_teacher():
    model = distiller(teacher='no/such/config.py', teacher_checkpoint='no_such.pth').eval()
    data = batch(model)
    assert set(model(**data, mode='loss')) == {'decode.loss_cb', 'decode.acc_seg', 'aux.loss_cb', 'aux.acc_seg'}
    assert model(**data, mode='tensor').shape == (2, 5, 4, 4)
    assert len(model(**data, mode='predict')) == 2


def test_teacher_is_no_part_of_the_model_but_moves_with_it():
    model = distiller()
    names = set(model.state_dict())
    parameters = len(list(model.parameters()))
    model.init_weights()
    assert set(model.state_dict()) == names == set(MODELS.build(network()).state_dict())
    assert len(list(model.parameters())) == parameters
    model.train().double()
    assert {value.dtype for value in model.teacher.parameters()} == {torch.float64}
    model.to('meta')
    assert {value.device.type for value in model.teacher.parameters()} == {'meta'}
    assert not model.teacher.training


def test_teacher_built_late_takes_the_type_of_the_student():
    model = distiller().double()
    assert {value.dtype for value in model.teacher.parameters()} == {torch.float64}


def test_teacher_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    model = distiller()
    torch.manual_seed(3)
    assert model.teacher
    assert torch.rand(1) == expected


def test_flops_are_the_students():
    pair = dict(
        student_layer='backbone.layer4', teacher_layer='backbone.layer4', student_channels=32, teacher_channels=64
    )
    reports = [
        count_flops(model.eval(), (32, 32), toolbox='mmseg')
        for model in (MODELS.build(network()), distiller(), distiller(distill=[pair]))
    ]
    assert len({report.macs for report in reports}) == 1
    assert len({report.params_inference for report in reports}) == 1
    assert not any(report.not_called for report in reports)


@pytest.mark.parametrize('behind', [True, False])
def test_warns_once_when_the_teacher_is_behind(behind, caplog):
    model = distiller(compare_interval=2).train()
    data = batch(model)
    for one in data['data_samples']:
        one.gt_sem_seg.data.fill_(1)
    for part, right in ((model, behind), (model.teacher, not behind)):
        part.decode_head.conv_seg.bias.data[1 if right else 2] = 30.0
    logger = MMLogger.get_current_instance()
    with caplog.at_level(logging.WARNING, logger=logger.name):
        logger.addHandler(caplog.handler)
        try:
            for _ in range(6):
                model(**data, mode='loss')
        finally:
            logger.removeHandler(caplog.handler)
    messages = {id(record): record.message for record in caplog.records if 'teacher is behind' in record.message}
    assert len(messages) == behind
    if behind:
        assert 'mean of 2 iterations' in next(iter(messages.values()))


def test_both_cross_entropies_reach_the_log(tmp_path):
    runner(distiller(), tmp_path / 'run').train()
    (scalars,) = (tmp_path / 'run').rglob('scalars.json')
    for line in map(json.loads, scalars.read_text().splitlines()):
        assert line['teacher.ce'] > 0
        assert line['student.ce'] > 0
        summed = [value for name, value in line.items() if '.loss_' in name]
        assert line['loss'] == pytest.approx(sum(summed), rel=1e-5)


def test_missing_checkpoint_says_how_to_get_it(teacher_file, tmp_path):
    config, _ = teacher_file
    model = distiller(teacher=config, teacher_checkpoint='work_dirs/none.pth')
    with pytest.raises(
        FileNotFoundError, match=rf'work_dirs/none\.pth: .*python tools/train\.py {config}; .*cfg-options'
    ):
        runner(model, tmp_path / 'run').train()


def test_checkpoint_of_another_network(teacher_file, tmp_path):
    config, checkpoint = teacher_file
    with pytest.raises(ValueError, match=r'teacher\.pth: does not fit the config of the teacher'):
        distiller(teacher=network(4, 16), teacher_checkpoint=checkpoint).init_weights()
    weights = torch.load(checkpoint)['state_dict']
    torch.save({name: value for name, value in weights.items() if 'auxiliary' not in name}, checkpoint)
    distiller(teacher=config, teacher_checkpoint=checkpoint).init_weights()
    torch.save({name: value for name, value in weights.items() if 'conv_seg' not in name}, checkpoint)
    with pytest.raises(ValueError, match='2 tensors are missing, first decode_head'):
        distiller(teacher=config, teacher_checkpoint=checkpoint).init_weights()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(distill=[dict(student_layer='decode_head.conv_sek')]), "did you mean 'decode_head.conv_seg'"),
        (dict(distill=[dict(teacher_layer='backbone.layer5')]), "'backbone.layer5' is no module of the teacher"),
        (dict(distill=[dict(student_layer='decode_head')]), 'was not called in a training step'),
        (dict(distill=[dict(teacher_layer='backbone')]), "'backbone' returns a tuple"),
        (dict(distill=[dict(student_channels=3)]), 'give both'),
        (dict(distill=[dict(student_layer='backbone.layer4')]), 'give student_channels and teacher_channels'),
        (dict(teacher=network(8, 16, classes=4)), 'has 5 channels, .* 4; give'),
        (dict(student=dict(network(), type='DepthEstimator')), "its type is 'DepthEstimator'"),
        (dict(data_preprocessor=dict(type='SegDataPreProcessor')), r'has mean=\[123.675'),
    ],
)
def test_mistakes_are_explained(settings, message):
    data = batch(MODELS.build(network()))

    def step():
        distiller(**settings).train()(**data, mode='loss')

    with pytest.raises(ValueError, match=message):
        step()


def test_student_by_its_config(tmp_path):
    config = tmp_path / 'student.py'
    Config(dict(default_scope='mmseg', model=network())).dump(config)
    model = distiller(student=str(config))
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx(MEAN)
    with pytest.raises(FileNotFoundError, match=r'none\.py: no such config'):
        distiller(student='none.py')
