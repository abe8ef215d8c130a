"""Saves checkpoints such that at every moment the disk holds one to go on from."""

import hashlib
import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import save_checkpoint

from mmext.common.checkpoint_files import (
    LAST_CHECKPOINT,
    RESUMABLE_NAME,
    SIDECAR_SUFFIX,
    CheckpointWriteError,
    clean_unfinished,
    writing_checkpoint,
)
from mmext.common.checkpoints import CONFIG_TEXTS, read_checkpoint
from mmext.common.files import write_text

# In the message hub, and so in every checkpoint: names of files that nobody needs once the next one is on the disk.
OUTDATED = 'outdated_checkpoints'


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with the same settings, whose files outlast crashes. What differs:

    - A file is deleted only after the one that takes its place is on the disk, so ``max_keep_ckpts=1`` is safe. For a
      moment there is one more than ``max_keep_ckpts``; a run that is killed then deletes it when it goes on.
    - The previous ``best_*`` file is deleted with the next regular checkpoint, which is the first to know of the new
      one: whatever checkpoint a run goes on from, the best file that it knows of exists. mmengine writes the regular
      checkpoint a second time instead; then a run that goes on could not tell whether the validation is done.
    - Digests (`mmext.common.checkpoint_files`) are deleted with their files, and nothing outside ``out_dir`` is.
      ``last_checkpoint`` and published files are written whole or not at all.
    - Distributed: the others wait until the main process has written, and stop with its error.

    Validation that is due at a checkpoint's own step comes after it, so whoever goes on must make up for it, as
    `mmext.common.durable_runner` does. That Runner also writes the files themselves whole or not at all.
    """

    @property
    def _record(self) -> str:
        """Where the message hub keeps the files to be deleted; a run may have several of these hooks."""
        return f'{OUTDATED}_{self.filename_tmpl}'

    def before_train(self, runner) -> None:
        """Find out where to write; tidy up after a run that was killed."""
        ids = runner.message_hub.runtime_info.get('keep_ckpt_ids', [])
        surplus = list(ids[: -self.max_keep_ckpts]) if self.max_keep_ckpts > 0 else []
        super().before_train(runner)
        self._outdated = _names_of_files(runner.message_hub.runtime_info.get(self._record))
        self._resumable: tuple[int, str] | None = None  # iteration and path of the last one with everything in it
        for step in surplus:  # mmengine has deleted them, because the setting was larger before
            self._remove(self.filename_tmpl.format(step))
        if runner._resume and Path(runner._load_from or '').parent.absolute() == Path(self.out_dir).absolute():
            # The checkpoint is there that made them outdated; one that a signal has caused is outdated itself later.
            self._delete_outdated(runner, except_for=Path(runner._load_from).name)
        if is_main_process():
            for folder in {str(self.out_dir), runner.work_dir}:
                clean_unfinished(folder)
            self._warn_of_earlier_run(runner)

    def save_now(self, runner, epoch: int, iteration: int) -> str:
        """Save a checkpoint that is not due, ``iter_<iteration>.pth``, unless this iteration has one.

        It holds everything, whatever the settings, and is deleted with the next regular checkpoint of a run that goes
        on from it, unless the settings keep all checkpoints.

        Args:
            epoch: Epochs that are finished.
            iteration: Iterations that are finished.

        Returns:
            The path of the checkpoint of this iteration.
        """
        if self._resumable and self._resumable[0] == iteration:
            return self._resumable[1]
        name = f'iter_{iteration}.pth'
        if self.max_keep_ckpts > 0 and self.save_optimizer and self.save_param_scheduler:
            self._outdate(runner, name)
        settings = dict(file_client_args=self.file_client_args, backend_args=self.backend_args, **self.args)
        path = self.file_backend.join_path(self.out_dir, name)
        save_resumable(runner, self.out_dir, name, dict(epoch=epoch, iter=iteration), **settings)
        write_note(runner, path)
        self._resumable = iteration, path
        return path

    def after_train(self, runner) -> None:
        """Publish, and delete the best file before the last one."""
        super().after_train(runner)
        if self.last_ckpt is not None:
            self._delete_outdated(runner)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        name = self.filename_tmpl.format(step)
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                self._outdate(runner, self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self._still_needed(runner, name)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        save_resumable(
            runner,
            self.out_dir,
            name,
            meta,
            file_client_args=self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            backend_args=self.backend_args,
            **self.args,
        )
        write_note(runner, self.last_ckpt)
        if self.save_optimizer and self.save_param_scheduler:
            self._resumable = meta['iter'], self.last_ckpt
        self._delete_outdated(runner)

    def _save_best_checkpoint(self, runner, metrics: Mapping[str, Any]) -> None:
        if not self.save_best:
            return
        before = self._best_paths()
        backend, self.file_backend = self.file_backend, _NothingToRemove(self.file_backend)
        last, self.last_ckpt = self.last_ckpt, None  # keeps it from being written again
        try:
            with failing_together():
                super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend, self.last_ckpt = backend, last
        now = self._best_paths()
        for path in before - now:
            self._outdate(runner, Path(path).name)
        for path in now:
            self._still_needed(runner, Path(path).name)

    @master_only
    def _publish_model(self, runner, ckpt_path: str | None) -> None:
        if ckpt_path is None:  # no validation has improved on this metric
            return
        if '://' in ckpt_path:
            super()._publish_model(runner, ckpt_path)
            return
        checkpoint = read_checkpoint(ckpt_path)
        meta = checkpoint.get('meta', {})
        for key in CONFIG_TEXTS:  # as they were in the file
            if f'{key}_text' in meta:
                meta[key] = meta.pop(f'{key}_text')
        published = {key: value for key, value in checkpoint.items() if key in self.published_keys}
        digest = hashlib.sha256(pickle.dumps(published)).hexdigest()
        path = f'{ckpt_path.removesuffix(".pth")}-{digest[:8]}.pth'
        with writing_checkpoint(path) as unfinished:
            save_checkpoint(published, str(unfinished))
        left_out = sorted(checkpoint.keys() - published.keys())
        runner.logger.info(f'{ckpt_path} is published as {path}, without {left_out} (see published_keys)')

    def _best_paths(self) -> set[str]:
        paths = [getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()]
        return {str(path) for path in paths if path}

    def _outdate(self, runner, name: str) -> None:
        if name not in self._outdated:
            self._outdated.append(name)
        runner.message_hub.update_info(self._record, list(self._outdated))

    def _still_needed(self, runner, name: str) -> None:
        """Take back that a file is outdated: a run that went on from an older checkpoint writes it again."""
        if name in self._outdated:
            self._outdated.remove(name)
            runner.message_hub.update_info(self._record, list(self._outdated))

    def _delete_outdated(self, runner, except_for: str = '') -> None:
        for name in self._outdated:
            if name != except_for:
                self._remove(name)
                if name.startswith('best_'):
                    runner.logger.info(f'The previous best checkpoint {name} is removed')
        self._outdated = [name for name in self._outdated if name == except_for]
        if self._record in runner.message_hub.runtime_info:
            runner.message_hub.update_info(self._record, list(self._outdated))

    @master_only
    def _remove(self, name: str) -> None:
        """Delete a checkpoint and its digest; some strategies of training write a folder."""
        for each in (name + SIDECAR_SUFFIX, name):
            path = self.file_backend.join_path(self.out_dir, each)
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):
                self.file_backend.rmtree(path)

    def _warn_of_earlier_run(self, runner) -> None:
        if runner.iter > 0 or not Path(self.out_dir).is_dir():
            return
        earlier = [path.name for path in Path(self.out_dir).iterdir() if RESUMABLE_NAME.fullmatch(path.name)]
        if earlier:
            runner.logger.warning(
                f'{self.out_dir} holds checkpoints of an earlier run ({", ".join(sorted(earlier)[:3])}); --resume '
                'would go on from the latest step of them all. Move them away or train in another --work-dir.'
            )


class _NothingToRemove:
    """A file backend that denies that files exist, so that they are not deleted."""

    def __init__(self, backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def isfile(self, path: str) -> bool:
        return False

    isdir = isfile


def _names_of_files(value: Any) -> list[str]:
    """A checkpoint is not trusted to have anything deleted but checkpoints in the run's own folder."""
    names = value if isinstance(value, list) else []
    return [name for name in names if isinstance(name, str) and name.endswith('.pth') and Path(name).name == name]


@contextmanager
def failing_together() -> Iterator[None]:
    """Wait for the main process; raise on all processes what it raises within the block."""
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    message = [str(error) if error else None]
    broadcast_object_list(message)
    if error:
        raise error
    if message[0]:
        raise CheckpointWriteError(f'the main process could not save: {message[0]}')


def save_resumable(runner, out_dir: str, name: str, meta: dict, **settings) -> None:
    """Save a checkpoint; all processes go on when the main one has written it, or stop with its error."""
    with failing_together():
        runner.save_checkpoint(out_dir, name, meta=meta, by_epoch=False, **settings)


@master_only
def write_note(runner, path: str) -> None:
    """Write mmengine's note of the last checkpoint; it is a help, so a failure stops nothing."""
    try:
        write_text(Path(runner.work_dir, LAST_CHECKPOINT), path)
    except OSError as error:
        runner.logger.log(
            logging.WARNING, f'{LAST_CHECKPOINT} could not be written ({error}); --resume does without it'
        )
