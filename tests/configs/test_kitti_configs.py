"""What the recipes of the kitti report promise by their names: encoders, widths, losses, teacher."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'segmentation'
SUFFIX = '_1xb8-20k_kitti-368x368'
LEAVES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob(f'*{SUFFIX}.py') if not path.stem.startswith('cwd')
)
RESNETS = [leaf for leaf in LEAVES if re.search(r'_r\d+-d8', leaf)]
CWD = f'cwd/cwd_pspnet-r18-d8-in1k-pre{SUFFIX}.py'

pytestmark = pytest.mark.usefixtures('in_root')


def model_of(leaf: str):
    return Config.fromfile(FOLDER / leaf).model


def test_there_are_leaves():
    assert len(LEAVES) == 14
    assert len(RESNETS) == 5


@pytest.mark.parametrize('leaf', LEAVES)
def test_tricks_of_the_report(leaf):
    model = model_of(leaf)
    weights = Config.fromfile(FOLDER / leaf).kitti_class_weight
    main, aux = model.decode_head.loss_decode, model.auxiliary_head.loss_decode
    assert (main.type, main.thresh, main.min_kept) == ('OhemBalancedLoss', 0.5, 80_000)
    assert (aux.type, aux.loss_weight) == ('ClassBalancedLoss', 0.4)
    assert main.class_weight == aux.class_weight == weights
    assert len(weights) == 19
    assert sum(weights) == pytest.approx(19)


@pytest.mark.parametrize('leaf', RESNETS)
def test_resnet_is_the_named_one_at_stride_8(leaf):
    model = model_of(leaf)
    depth = int(re.search(r'_r(\d+)-d8', leaf)[1])
    expansion = 1 if depth == 18 else 4
    assert model.backbone.depth == depth
    assert Path(model.backbone.init_cfg.checkpoint).stem.startswith(f'resnet{depth}_v1c')
    assert (model.backbone.strides, model.backbone.dilations) == ((1, 2, 1, 1), (1, 1, 2, 4))
    assert model.decode_head.in_channels == 512 * expansion
    assert model.auxiliary_head.in_channels == 256 * expansion
    assert model.decode_head.get('c1_in_channels', 64 * expansion) == 64 * expansion


def test_swin_is_tiny_with_512_channels_in_the_head():
    model = model_of(f'segformer/segformer_swin-t-in22k-pre{SUFFIX}.py')
    assert (model.backbone.embed_dims, model.backbone.depths) == (96, (2, 2, 6, 2))
    assert model.decode_head.channels == 512
    assert model.auxiliary_head.in_channels == model.decode_head.in_channels[2] == 384


def test_swin_from_cityscapes_is_the_same_model_with_other_weights():
    model = model_of(f'segformer/segformer_swin-t-in22k-pre{SUFFIX}.py')
    assert '22k' in model.backbone.pop('init_cfg').checkpoint
    from_cityscapes = model_of(f'segformer/segformer_swin-t-cityscapes-pre{SUFFIX}.py')
    assert from_cityscapes.backbone.pop('init_cfg') is None
    assert from_cityscapes == model


def test_swin_of_cityscapes_is_made_by_its_recipe():
    cfg = Config.fromfile(FOLDER / f'segformer/segformer_swin-t-cityscapes-pre{SUFFIX}.py')
    name = Path(cfg.load_from).parent.name
    source = Config.fromfile(FOLDER / 'segformer' / f'{name}.py')
    assert Path(cfg.load_from).stem == f'iter_{source.train_cfg.max_iters}'
    assert source.model.decode_head.channels == cfg.model.decode_head.channels
    assert source.optim_wrapper.optimizer.to_dict() == dict(
        type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01
    )


@pytest.mark.parametrize('leaf', LEAVES)
def test_optimiser_of_convolutions_and_of_transformers(leaf):
    cfg = Config.fromfile(FOLDER / leaf)
    optimizer = cfg.optim_wrapper.optimizer
    if leaf.startswith('segformer'):
        assert (optimizer.type, optimizer.lr) == ('AdamW', 1e-5)
        assert cfg.optim_wrapper.paramwise_cfg.custom_keys['head'].lr_mult == 10
    else:
        assert (optimizer.type, optimizer.lr) == ('SGD', 0.01)
        assert 'paramwise_cfg' not in cfg.optim_wrapper


def test_distillation_is_the_students_recipe_with_a_teacher_on_top():
    cfg = Config.fromfile(FOLDER / CWD)
    student = Config.fromfile(FOLDER / f'pspnet/pspnet_r18-d8-in1k-pre{SUFFIX}.py')
    assert cfg.model.student == student.model
    for part in ('train_dataloader', 'test_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert cfg[part] == student[part]
    teacher = Config.fromfile(cfg.model.teacher)
    assert teacher.model.backbone.depth == 101
    # what training the teacher leaves behind
    assert Path(cfg.model.teacher_checkpoint).parent == Path('work_dirs') / Path(cfg.model.teacher).stem
    assert Path(cfg.model.teacher_checkpoint).stem == f'iter_{teacher.train_cfg.max_iters}'
    assert cfg.model.distill[0].loss.to_dict() == dict(type='ChannelWiseDivergence', tau=1.0, loss_weight=5.0)
