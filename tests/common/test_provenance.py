"""The state of repositories, and names and versions of what is installed."""

import importlib

import torch

from mmext.common.provenance import code_state, device_name, distributions, processor_name, versions


def test_changes_are_told_and_new_files_are_none(repository):
    assert code_state([repository])['dirty'] is False
    (repository / 'new.txt').write_text('')
    assert code_state([repository])['dirty'] is False
    (repository / 'config.py').write_text('a = 2')
    assert code_state([repository])['dirty'] is True


def test_outside_of_a_repository_nothing_is_guessed(tmp_path, repository):
    nowhere = dict(commit=None, dirty=None)
    assert code_state([tmp_path]) == nowhere
    assert code_state([tmp_path / 'missing']) == nowhere
    assert code_state([]) == nowhere
    assert code_state([tmp_path, repository])['commit']
    # A package that is installed into a project's environment is not of that project.
    installed = repository / 'venv' / 'site-packages' / 'mmext'
    installed.mkdir(parents=True)
    assert code_state([installed]) == nowhere


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv('PATH', '')
    assert code_state([repository]) == dict(commit=None, dirty=None)


def test_the_machine_has_a_name(monkeypatch):
    assert device_name(torch.device('cpu')) == processor_name()
    assert processor_name()
    assert device_name(torch.device('meta')) == 'meta'
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: f'maker {device}')
    assert device_name() == 'maker None'
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert device_name() == processor_name()


def test_versions_are_those_that_the_modules_tell():
    found = versions()
    assert all(found.values())
    assert {'python', 'mmext'} <= found.keys() <= {'python', 'mmext', *distributions().values()}
    for module in ('torch', 'mmengine', 'mmcv'):
        told = importlib.import_module(module).__version__
        # The build, such as +cpu, may be told by one of the two alone.
        assert found[distributions()[module]].partition('+')[0] == told.partition('+')[0], module
