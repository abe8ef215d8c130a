"""StagePictureHook in real trainings of a network of one convolution on six images of noise."""

import logging
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmext.segmentation.evaluation import stage_picture_hook
from mmext.segmentation.evaluation.stage_picture_hook import StagePictureHook


@pytest.fixture(scope='session')
def noise(tmp_path_factory) -> Path:
    """Six images, class 1 where red is bright; `img/<i>.png` and `ann/<i>.png`."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp('noise')
    for folder in ('img', 'ann'):
        (root / folder).mkdir()
    for index in range(6):
        image = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / 'img' / f'{index}.png')
        Image.fromarray((image[..., 0] > 127).astype(np.uint8)).save(root / 'ann' / f'{index}.png')
    return root


NORM = dict(type='BN')
MODEL = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.0] * 3, std=[60.0] * 3, size=(16, 24)),
    backbone=dict(
        type='UNet',
        base_channels=4,
        num_stages=2,
        strides=(1, 1),
        enc_num_convs=(1, 1),
        dec_num_convs=(1,),
        downsamples=(True,),
        enc_dilations=(1, 1),
        dec_dilations=(1,),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=4,
        channels=4,
        num_convs=1,
        in_index=1,
        num_classes=2,
        dropout_ratio=0.5,
        norm_cfg=NORM,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)


def loader(noise: Path, shuffle: bool, labelled: bool = True) -> dict:
    folders = dict(img_path='img', **(dict(seg_map_path='ann') if labelled else {}))
    steps = ['LoadImageFromFile', *(['LoadAnnotations'] if labelled else []), 'PackSegInputs']
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(noise),
        data_prefix=folders,
        img_suffix='.png',
        seg_map_suffix='.png',
        metainfo=dict(classes=('a', 'b'), palette=[[200, 0, 0], [0, 0, 200]]),
        pipeline=[dict(type=step) for step in steps],
    )
    return dict(batch_size=2, num_workers=0, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=shuffle))


def make_runner(
    noise: Path, work_dir: Path, hook: dict | None, labelled: bool = True, train: dict | None = None, **more
):
    """Three iterations an epoch, four epochs, a validation every second epoch; `train` overrides the loop."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    loop = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=2) | (train or {})
    metric = dict(type='IoUMetric') if labelled else dict(type='IoUMetric', format_only=True, output_dir=str(work_dir))
    cfg = dict(
        model=MODEL,
        work_dir=str(work_dir),
        train_dataloader=loader(noise, shuffle=True),
        val_dataloader=loader(noise, shuffle=False, labelled=labelled),
        train_cfg={key: value for key, value in loop.items() if value is not None},
        val_cfg=dict(),
        val_evaluator=metric,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        custom_hooks=[dict(type='StagePictureHook', **hook)] if hook is not None else [],
        visualizer=dict(type='SegLocalVisualizer', name=work_dir.name, vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=0),
        experiment_name=f'{work_dir.parent.name}_{work_dir.name}_{random.random()}',
        log_level='WARNING',
        default_scope='mmseg',
    )
    return Runner.from_cfg(Config(cfg | more))


SHORT = dict(max_epochs=2)
SIX_ITERATIONS = dict(type='IterBasedTrainLoop', max_epochs=None, max_iters=6, val_interval=3)


def maps(work_dir: Path) -> dict[str, list[str]]:
    folder = work_dir / 'stage_pictures'
    return {
        each.name: sorted(file.name for file in each.iterdir()) for each in sorted(folder.iterdir()) if each.is_dir()
    }


def labels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_stages_with_and_without_a_validation(noise, tmp_path):
    """Epochs 2 and 4 are validated, 1 is not; all three are kept, and one figure shows them."""
    runner = make_runner(noise, tmp_path / 'run', dict(stages=(1, 2, 4), images=('4', '1')))
    runner.train()
    files = ['1.png', '4.png']
    assert maps(tmp_path / 'run') == dict(epoch_1=files, epoch_2=files, epoch_4=files, truth=files)
    np.testing.assert_array_equal(labels(tmp_path / 'run/stage_pictures/truth/4.png'), labels(noise / 'ann' / '4.png'))
    assert size_of(tmp_path / 'run/stage_pictures/stages.png')[0] > 500
    (picture,) = (tmp_path / 'run').glob('*/vis_data/vis_image/stages_of_training*.png')
    assert picture.is_file()
    assert not list((tmp_path / 'run' / 'stage_pictures').glob('.*'))


def test_maps_are_what_the_weights_of_that_epoch_predict(noise, tmp_path):
    """From the checkpoints of the same run: one stage that is validated, one that is not."""
    from mmengine.runner import load_checkpoint

    runner = make_runner(noise, tmp_path / 'run', dict(stages=(1, 2, 4), images=('3',)))
    runner.train()
    data = runner.val_dataloader.collate_fn([runner.val_dataloader.dataset[3]])
    seen = []
    for epoch in (1, 2):
        load_checkpoint(runner.model, str(tmp_path / 'run' / f'epoch_{epoch}.pth'))
        runner.model.eval()
        with torch.no_grad():
            expected = runner.model.val_step(data)[0].pred_sem_seg.data[0].numpy()
        kept = labels(tmp_path / f'run/stage_pictures/epoch_{epoch}/3.png')
        np.testing.assert_array_equal(kept, expected)
        seen.append(kept)
    assert (seen[0] != seen[1]).any()


def test_training_is_not_disturbed(noise, tmp_path):
    """Dropout and shuffling draw the same numbers, batch norms see the same images: the same weights, bit for bit."""
    weights = []
    for name, hook in (('with', dict(stages=(1, 3), num_images=3)), ('without', None)):
        runner = make_runner(noise, tmp_path / name, hook)
        runner.train()
        weights.append({key: value.clone() for key, value in runner.model.state_dict().items()})
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_iterations(noise, tmp_path):
    hook = dict(stages=(2, 3, 6), by_epoch=False, num_images=1)
    make_runner(noise, tmp_path / 'run', hook, train=SIX_ITERATIONS).train()
    assert maps(tmp_path / 'run') == dict(
        iteration_2=['0.png'], iteration_3=['0.png'], iteration_6=['0.png'], truth=['0.png']
    )


def test_iterations_of_an_epoch_based_loop(noise, tmp_path):
    make_runner(noise, tmp_path / 'run', dict(stages=(2, 6, 12), by_epoch=False, num_images=1)).train()
    assert sorted(maps(tmp_path / 'run')) == ['iteration_12', 'iteration_2', 'iteration_6', 'truth']


def test_resumed_run_uses_the_maps_of_before(noise, tmp_path):
    hook = dict(stages=(1, 2, 4), images=('5',))
    make_runner(noise, tmp_path / 'run', hook, train=SHORT).train()
    folder = tmp_path / 'run' / 'stage_pictures'
    assert sorted(maps(tmp_path / 'run')) == ['epoch_1', 'epoch_2', 'truth']
    before = {path: path.stat().st_mtime_ns for path in folder.glob('epoch_*/*.png')}
    short = size_of(folder / 'stages.png')
    make_runner(noise, tmp_path / 'run', hook, resume=True).train()
    assert sorted(maps(tmp_path / 'run')) == ['epoch_1', 'epoch_2', 'epoch_4', 'truth']
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert size_of(folder / 'stages.png')[0] > short[0]


def test_stage_lost_by_a_kill_is_made_up_for(noise, tmp_path):
    """Killed between the checkpoint of epoch 2 and its picture: the resumed run still has the weights."""
    hook = dict(stages=(2, 4), images=('5',))
    make_runner(noise, tmp_path / 'run', hook, train=SHORT).train()
    path = tmp_path / 'run/stage_pictures/epoch_2/5.png'
    before = labels(path)
    path.unlink()
    make_runner(noise, tmp_path / 'run', hook, resume=True).train()
    np.testing.assert_array_equal(labels(path), before)


def test_new_run_in_an_old_folder_starts_anew(noise, tmp_path):
    make_runner(noise, tmp_path / 'run', dict(stages=(1, 2), images=('5',)), train=SHORT).train()
    make_runner(noise, tmp_path / 'run', dict(stages=(2, 4), images=('5',)), train=SHORT).train()
    assert maps(tmp_path / 'run') == dict(epoch_1=[], epoch_2=['5.png'], truth=['5.png'])


def test_training_that_ends_early_says_what_is_missing(noise, tmp_path):
    runner = make_runner(
        noise, tmp_path / 'run', dict(stages=dict(early=1, final=15), num_images=1), train=dict(max_epochs=1)
    )
    heard = []
    runner.logger.addHandler(handler := logging.Handler())
    handler.emit = heard.append
    runner.train()
    assert any('final (epoch 15)' in each.getMessage() for each in heard)
    assert not any('early (epoch 1)' in each.getMessage() for each in heard)
    assert (tmp_path / 'run/stage_pictures/stages.png').is_file()


def test_no_stage_reached_draws_nothing(noise, tmp_path):
    make_runner(noise, tmp_path / 'run', dict(stages=(9,), num_images=1), train=dict(max_epochs=1)).train()
    assert not (tmp_path / 'run' / 'stage_pictures').exists()


def test_unlabelled_images(noise, tmp_path):
    make_runner(noise, tmp_path / 'run', dict(stages=(1, 2), num_images=2), train=SHORT, labelled=False).train()
    assert maps(tmp_path / 'run') == dict(epoch_1=['0.png', '1.png'], epoch_2=['0.png', '1.png'])
    assert (tmp_path / 'run/stage_pictures/stages.png').is_file()


def test_other_processes_write_nothing_and_do_not_wait(noise, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_picture_hook, 'is_main_process', lambda: False)
    monkeypatch.setattr(stage_picture_hook, 'predict_alone', None)
    make_runner(noise, tmp_path / 'run', dict(stages=(1, 2), num_images=2), train=SHORT).train()
    assert not (tmp_path / 'run' / 'stage_pictures').exists()


def train_in_a_group(rank: int, noise: Path, work_dir: Path) -> list[bool]:
    """Three of the six images are validated in each process."""
    os.environ['LOCAL_RANK'] = str(rank)  # read by mmengine, whatever the wrapper's settings say
    hook = dict(stages=(1, 2), images=('0', '1', '5'))
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
    runner = make_runner(noise, work_dir, hook, train=SHORT, launcher='pytorch', model_wrapper_cfg=wrapper)
    runner.train()
    return [runner.distributed, runner.epoch == 2]


def test_two_processes_finish_with_all_maps(noise, tmp_path, in_two_processes):
    assert in_two_processes(train_in_a_group, noise, tmp_path / 'run') == [[True, True]] * 2
    files = ['0.png', '1.png', '5.png']
    assert maps(tmp_path / 'run') == dict(epoch_1=files, epoch_2=files, truth=files)


def test_images_that_another_process_validates_are_predicted_here(noise, tmp_path):
    """The validation shows this process none of them, as in a distributed run."""
    runner = make_runner(noise, tmp_path / 'run', dict(stages=(2,), images=('0', '5')), train=SHORT)
    (hook,) = (each for each in runner.hooks if isinstance(each, StagePictureHook))
    hook.after_val_iter = lambda *args, **kwargs: None
    runner.train()
    assert maps(tmp_path / 'run')['epoch_2'] == ['0.png', '5.png']


@pytest.mark.parametrize(
    ('hook', 'more', 'message'),
    [
        (dict(images=('44',)), {}, r"image '44' is not among the 6 .* did you mean '4'\?"),
        (dict(stages=(1,)), dict(train=SIX_ITERATIONS), 'counts no epochs; .*by_epoch=False'),
    ],
)
def test_errors_before_training(noise, tmp_path, hook, more, message):
    runner = make_runner(noise, tmp_path / 'run', hook, **more)
    with pytest.raises(ValueError, match=message):
        runner.train()
