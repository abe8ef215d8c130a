"""Dumped configs are read as values, never run, and compared with recipes."""

import pytest
from mmengine.config import Config

from mmext.analysis.report.config_dump import (
    DumpError,
    differences,
    parse_dump,
    read_recipe,
    reads_samples,
    total_steps,
)

VALUES = dict(
    model=dict(type='A', parts=[1, -2.5, 1e-5], size=(3, 4), none=None, yes=True, text="it's", deep={'a b': {'c': 1}}),
    train_cfg=dict(max_epochs=3),
)


def test_what_mmengine_dumps_is_read_back():
    found = parse_dump(Config(VALUES).pretty_text, 'x.py')
    assert found['model'] == VALUES['model'] | {'size': [3, 4]}
    assert parse_dump('a = dict(x=inf, y=-inf)', 'x')['a'] == {'x': float('inf'), 'y': -float('inf')}


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        'a = __import__("os").system("touch ran")',
        'a = dict(b=open("ran", "w"))',
        'a = [x for x in ()]',
        'a = dict(**b)',
        'a = (',
        'a.b = 1',
        'a = ' + '[' * 500 + ']' * 500,
    ],
)
def test_nothing_else_is_read_and_nothing_runs(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DumpError, match=r'dump\.py: no config that a run wrote'):
        parse_dump(text, 'dump.py')
    assert not list(tmp_path.iterdir())


def changed(project, stem, **settings):
    recipe = read_recipe(project / 'configs' / 'toy' / f'{stem}.py')
    config = Config(recipe)
    config.merge_from_dict(settings)
    return differences(config.to_dict(), recipe)


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ({}, []),
        ({'train_dataloader.num_workers': 8, 'train_cfg.val_interval': 10, 'work_dir': 'x', 'resume': True}, []),
        ({'randomness': dict(seed=3), 'launcher': 'none', 'scale': 7}, []),
        ({'train_cfg.max_iters': 40}, ['train_cfg.max_iters: 40, not 100']),
        ({'optim_wrapper.type': 'AmpOptimWrapper'}, ['optim_wrapper.type: AmpOptimWrapper, not OptimWrapper']),
        ({'load_from': 'a.pth'}, ['load_from: a.pth, not nothing']),
        ({'custom_hooks': [dict(type='EMAHook')]}, ['custom_hooks.0.type: EMAHook, not nothing']),
        ({'custom_hooks': [dict(type='RunRecordHook'), dict(type='ValLossHook')]}, []),
        (
            {'train_dataloader.dataset.data_root': 'data/mine'},
            ['train_dataloader.dataset.data_root: data/mine, not data/roads'],
        ),
    ],
)
def test_differences_are_those_that_change_a_score(project, settings, expected):
    assert changed(project, 'toy_1xb4-100i_roads-8x6', **settings) == expected


def test_a_dump_equals_its_recipe(project):
    recipe = project / 'configs' / 'toy' / 'toy_1xb4-100i_roads-8x6.py'
    dumped = parse_dump(Config.fromfile(recipe, import_custom_modules=False).pretty_text, 'x')
    assert differences(dumped, read_recipe(recipe)) == []
    other = read_recipe(recipe.with_name('toy-large_1xb4-100i_roads-8x6.py'))
    assert differences(dumped, other) == ['model.channels: 8, not 36']


def test_a_run_that_went_on_needs_no_first_weights_and_other_places_can_be_allowed(project):
    recipe = read_recipe(project / 'configs' / 'toy' / 'toy_1xb4-100i_roads-8x6.py')
    resumed = Config(recipe)
    resumed.merge_from_dict({'model.init_cfg': None, 'load_from': 'iter_50.pth'})
    assert differences(resumed.to_dict(), recipe, resumed=True) == []
    assert len(differences(resumed.to_dict(), recipe)) == 3
    moved = Config(recipe)
    moved.merge_from_dict({'val_dataloader.dataset.data_root': '/disk/roads'})
    assert differences(moved.to_dict(), recipe, same_data=True) == []


def test_samples_and_lengths():
    sample = dict(val_dataloader=dict(dataset=dict(datasets=[dict(ann_file='data/samples/pets/val.txt')])))
    assert reads_samples(sample)
    assert not reads_samples(dict(val_dataloader=dict(dataset=dict(ann_file='data/pets/val.txt'))))
    assert total_steps(dict(train_cfg=dict(max_iters=7))) == (7.0, 'iteration')
    assert total_steps(dict(train_cfg=dict(max_epochs=7))) == (7.0, 'epoch')
    assert total_steps(dict(train_cfg=dict(stages=[dict(epochs=3), dict(epochs=4)]))) == (7.0, 'epoch')
    assert total_steps({}) == (None, 'iteration')


def test_a_recipe_that_fails_is_named(tmp_path):
    (tmp_path / 'bad.py').write_text('a = 1 / 0')
    with pytest.raises(DumpError, match=r'bad\.py: cannot be read as a config'):
        read_recipe(tmp_path / 'bad.py')
    with pytest.raises(DumpError, match='none'):
        read_recipe(tmp_path / 'none.py')
