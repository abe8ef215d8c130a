import copy
import random

import pytest

from mmext.common.loops.stage_schedule import Stage, StagePlan, changed_stage, lr_scales, merge_settings, parse_stages


def test_scales_by_hand():
    stages = [Stage(1, batch_size=4), Stage(1, batch_size=2)]
    assert lr_scales(stages, None, 8) == lr_scales(stages, dict(enable=False, base_batch_size=1), 8) == [1, 1]
    assert lr_scales(stages, dict(enable=True, base_batch_size=[4, 4]), 2) == [2, 1]
    assert lr_scales(stages[:1] * 2, dict(enable=True, base_batch_size=16), 1) == [0.25, 0.25]
    for base in (4, [4], [4, 0], None):
        with pytest.raises(ValueError, match=r'auto_scale_lr\.base_batch_size=.*batch sizes \[4, 2\]; give a list'):
            lr_scales(stages, dict(enable=True, base_batch_size=base), 1)


@pytest.mark.parametrize('seed', range(5))
def test_plan_equals_counting(seed):
    rng = random.Random(seed)
    stages = [Stage(rng.randint(1, 4)) for _ in range(rng.randint(1, 4))]
    plan = StagePlan(stages, [rng.randint(1, 5) for _ in stages])
    epochs = [index for index, stage in enumerate(stages) for _ in range(stage.epochs)]
    assert plan.ends[-1] == len(epochs)
    for epoch in range(len(epochs) + 1):
        assert plan.stage_of(epoch) == (epochs[epoch] if epoch < len(epochs) else len(stages) - 1)
        assert plan.iteration_at(epoch) == sum(plan.epoch_lengths[index] for index in epochs[:epoch])


def test_settings_are_merged_without_touching_the_base():
    base = dict(optimizer=dict(type='SGD', lr=1.0, momentum=0.9), clip_grad=None)
    kept = copy.deepcopy(base)
    merged = merge_settings(base, dict(optimizer=dict(momentum=0.5), clip_grad=dict(max_norm=1)))
    assert merged == dict(optimizer=dict(type='SGD', lr=1.0, momentum=0.5), clip_grad=dict(max_norm=1))
    assert merge_settings(base, dict(optimizer=dict(type='AdamW')))['optimizer'] == dict(type='AdamW')
    assert merge_settings(base, {}) == base == kept


def test_the_first_difference_of_two_trainings():
    stages = parse_stages([dict(epochs=1, lr=0.1), dict(epochs=2)])
    record = StagePlan(stages, [1, 1]).until(1)['stages']
    assert changed_stage(record, stages) is None
    assert changed_stage(record[:1], stages) is None, 'stages may be added'
    assert (
        changed_stage(record, parse_stages([dict(epochs=1, lr=0.1, freeze=[]), dict(epochs=2, lr_decay=None)])) is None
    )
    other = parse_stages([dict(epochs=1, lr=0.2), dict(epochs=2)])
    assert changed_stage(record, other) == 'train_cfg.stages[0].lr: was 0.1, is 0.2'
    assert 'train_cfg.stages[1]: was ' in changed_stage(record, stages[:1])


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        (None, r'train_cfg\.stages=None: must be a list'),
        ([], r'train_cfg\.stages=\[\]: must be a list'),
        ([3], r'stages\[0\]=3: must be a dict with the keys epochs, freeze'),
        ([dict(lr=1)], r'stages\[0\]\.epochs: is missing'),
        ([dict(epochs=1), dict(epochs=0)], r'stages\[1\]\.epochs=0: must be a whole number above 0'),
        ([dict(epochs=1.5)], r'stages\[0\]\.epochs=1\.5: must be a whole'),
        ([dict(epochs=True)], r'stages\[0\]\.epochs=True: must be a whole'),
        ([dict(epochs=1, frezze=[])], r'stages\[0\]\.frezze: no such key; did you mean freeze\?'),
        ([dict(epochs=1, freeze='backbone')], r"stages\[0\]\.freeze='backbone': must be a list of names"),
        ([dict(epochs=1, lr='1e-4')], r"stages\[0\]\.lr='1e-4': must be a number above 0"),
        ([dict(epochs=1, lr=-1)], r'stages\[0\]\.lr=-1: must be a number above 0'),
        ([dict(epochs=1, lr=float('nan'))], r'stages\[0\]\.lr=nan: must be a number above 0'),
        ([dict(epochs=1, batch_size=2.0)], r'stages\[0\]\.batch_size=2\.0: must be a whole'),
        ([dict(epochs=1, lr_decay=1.2)], r'stages\[0\]\.lr_decay=1\.2: must be a number above 0 and at most 1'),
        ([dict(epochs=1, param_scheduler=['x'])], r"stages\[0\]\.param_scheduler=\['x'\]: must be a list of settings"),
        ([dict(epochs=1, optim_wrapper=3)], r'stages\[0\]\.optim_wrapper=3: must be a dict'),
        (
            [dict(epochs=1, lr_decay=0.9, param_scheduler=[dict(type='PolyLR')])],
            r'stages\[0\]\.lr_decay=0\.9: excludes param_scheduler; remove one, or add',
        ),
        (
            [dict(epochs=1, optim_wrapper=dict(optimizer=dict(lr=0.1)))],
            r'stages\[0\]\.optim_wrapper\.optimizer\.lr=0\.1: the learning rate of a stage is its key lr',
        ),
    ],
)
def test_values_of_a_stage_are_checked(stages, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_stages(stages)
    assert len(str(error.value).splitlines()) == 1
