"""Writes down what a run was started with: its command, the state of the code, the machine and its data."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

import mmext
from mmext.common.files import write_json
from mmext.common.provenance import code_state, device_name, versions

NAME = 'run.json'
DATA_CHECK = 'data_check.json'


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Writes ``run.json`` beside the log of every training and test, once, in the main process.

    It holds: ``command``, ``config`` (its path), ``commit`` of the code and whether files differed from it (``dirty``),
    ``seed``, ``versions``, ``device``, ``threads``, ``processes``, and ``data_hash`` where the data were checked.
    What cannot be known is null.

    Args:
        repository: Folder whose commit is recorded: that of the config by default, or else that of mmext.
    """

    priority = 'VERY_LOW'

    def __init__(self, repository: str | None = None) -> None:
        self.repository = repository

    def before_run(self, runner) -> None:
        """Write the record; a disk that is full is told of, and stops nothing."""
        if not is_main_process():
            return
        config = runner.cfg.filename
        folders = [self.repository, config and Path(config).parent, Path(mmext.__file__).parent]
        record = dict(
            command=' '.join(sys.argv),
            config=str(config) if config else None,
            **code_state([folder for folder in folders if folder]),
            seed=runner.seed,
            versions=versions(),
            device=device_name(),
            threads=torch.get_num_threads(),
            processes=get_world_size(),
            data_hash=data_hash(runner.work_dir),
        )
        try:
            write_json(Path(runner.log_dir) / NAME, record)
        except OSError as error:
            runner.logger.warning(f'{NAME} was not written: {error}')


def data_hash(work_dir: str | Path) -> str | None:
    """The hash that the check of the data left in the work dir; None if there is none."""
    try:
        content = json.loads((Path(work_dir) / DATA_CHECK).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    found = content.get('data_hash') if isinstance(content, Mapping) else None
    return found or None
