"""mmengine's Runner, except that a training that was killed goes on as if nothing had happened."""

import copy
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS, LOOPS, RUNNERS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmext.common.checkpoint_files import clean_unfinished, find_resumable, writing_checkpoint
from mmext.common.checkpoints import CheckpointError, read_checkpoint, use_safe_loading
from mmext.common.hooks.durable_checkpoint_hook import DurableCheckpointHook
from mmext.common.hooks.stop_signal_hook import StopSignalHook
from mmext.common.loops.resumable_loops import ResumableEpochLoop, ResumableIterLoop
from mmext.common.process_states import gather_states, restore_state
from mmext.common.seeding import SeedingHook, derive_seed, seed_generators, seeded
from mmext.common.stop_signals import release_signals
from mmext.common.weight_fit import check_fit

# Where a checkpoint keeps what `gather_states` finds.
PROCESS_STATES = 'process_states'
RESUMABLE = {EpochBasedTrainLoop: ResumableEpochLoop, IterBasedTrainLoop: ResumableIterLoop}


@RUNNERS.register_module()
class DurableRunner(Runner):
    """A Runner whose trainings survive interruptions of any kind, to the last bit where arithmetic is deterministic.

    With the same settings as mmengine's:

    - Random numbers are a function of where the training stands (`mmext.common.seeding`), and the seed of the run is
      in its checkpoints: a run that goes on takes it before anything is built.
    - A training goes on within an epoch too, with the very next batch, and makes up for a validation that was due
      (`ResumableEpochLoop`, `ResumableIterLoop`, which take the place of mmengine's loops; other loops are kept).
    - Checkpoints hold what each process alone knows (`mmext.common.process_states`).
    - Checkpoints are written whole or not at all, and outdated ones deleted afterwards; ``resume=True`` without
      ``load_from`` goes on from the newest that is sound. SIGTERM and SIGINT end the training in order.
    - Reading a checkpoint never runs code.

    Not restored: what transforms remember from one sample to the next (mosaics from a cache), what `EarlyStoppingHook`
    has counted, and generators of libraries' own. With three or more processes the sums over them are made in another
    order in the first iteration after an interruption; with another number of processes other samples are drawn; with
    another number of threads arithmetic itself differs.
    """

    def __init__(self, *args, **kwargs) -> None:
        use_safe_loading()
        super().__init__(*args, **kwargs)

    @classmethod
    def from_cfg(cls, cfg: Config | ConfigDict | dict) -> 'DurableRunner':
        """Build a Runner from a config, which is not changed."""
        cfg = copy.deepcopy(cfg)
        settle_resumption(cfg)
        return super().from_cfg(cfg)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a dataloader that seeds its samples; one that is built already is left as it is."""
        built = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        return built if seed is None or built is dataloader else seeded(built, seed)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the train loop; mmengine's two are replaced by those that resume exactly."""
        if isinstance(loop, Mapping):
            loop = resumable(loop)
            # Datasets and samplers may draw, and how much was drawn before depends on the initial weights.
            seed_generators(derive_seed(self.seed, self.rank, 'train loop'))
        return super().build_train_loop(loop)

    def register_default_hooks(self, hooks: dict[str, Hook | dict] | None = None) -> None:
        """Register seeding before the default hooks."""
        self.register_hook(SeedingHook())
        self.register_hook(ProcessStatesHook())
        super().register_default_hooks(hooks)

    def register_hooks(
        self,
        default_hooks: dict[str, Hook | dict] | None = None,
        custom_hooks: list[Hook | dict] | None = None,
    ) -> None:
        """Register stopping by a signal after all others, which thus finish the last step."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(StopSignalHook())

    def register_hook(self, hook: Hook | dict, priority: str | int | None = None) -> None:
        """Register a hook; in place of mmengine's `CheckpointHook` one that is safe against crashes."""
        if isinstance(hook, dict) and _is_class(HOOKS, hook.get('type'), CheckpointHook):
            hook = dict(hook, type=DurableCheckpointHook)
        super().register_hook(hook, priority)

    def train(self) -> nn.Module:
        """Train; the work dir is cleared of what killed processes left half-written."""
        if is_main_process():
            clean_unfinished(self.work_dir)
        try:
            return super().train()
        finally:
            release_signals()

    def val(self) -> dict:
        """Validate."""
        try:
            return super().val()
        finally:
            release_signals()

    def test(self) -> dict:
        """Test."""
        try:
            return super().test()
        finally:
            release_signals()

    def save_checkpoint(self, out_dir: str, filename: str, *args, **kwargs) -> None:
        """Save a checkpoint whole or not at all. All processes must call it; the main one writes.

        Raises:
            CheckpointWriteError: no room, or no right to write; earlier checkpoints are intact.
        """
        self.process_states = gather_states(self)
        if not is_main_process():
            return
        if '://' in str(out_dir):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with writing_checkpoint(Path(out_dir) / filename) as unfinished:
            super().save_checkpoint(str(unfinished.parent), unfinished.name, *args, **kwargs)

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load weights for a new training, which may be some, or for a test, which must be those of the model.

        Raises:
            WeightsError: the checkpoint belongs to another model, or holds NaN.
        """
        checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        check_fit(self.model, checkpoint, filename, *([0] if self._train_loop is not None else []))
        return checkpoint

    def resume(self, filename: str, *args, **kwargs) -> None:
        """Go on from a checkpoint with all that it holds."""
        self.process_states = None
        super().resume(filename, *args, **kwargs)
        restore_state(self, self.process_states)


class ProcessStatesHook(Hook):
    """Puts what the processes alone know into a checkpoint and takes it out again."""

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint[PROCESS_STATES] = runner.process_states

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        # What belongs to the model is overwritten after this.
        runner.process_states = checkpoint.get(PROCESS_STATES)


def settle_resumption(cfg: Config | ConfigDict | dict) -> None:
    """Decide which checkpoint a run goes on from, and take over its seed.

    Args:
        cfg: Changed in place. With ``resume=True`` and no ``load_from`` the newest sound checkpoint of the work dir is
            taken; if there is none, the run starts anew.
    """
    if not cfg.get('resume'):
        return
    if not cfg.get('load_from'):
        found = newest_checkpoint(cfg['work_dir'])
        cfg['resume'], cfg['load_from'] = found is not None, found
    path = cfg['load_from']
    if not path or not Path(path).is_file():
        return
    # Without the tensors, which are read once more by and by.
    content = read_checkpoint(path, 'meta')
    if not content.get('optimizer'):
        lacks = [name for name in ('optimizer', 'param_schedulers') if not content.get(name)]
        raise CheckpointError(
            f'{path}: holds no {" and no ".join(lacks)}; use one that CheckpointHook saved with them (epoch_*.pth or '
            'iter_*.pth, not best_*.pth), or take only its weights for a new training: load_from=<checkpoint>, '
            'resume=False'
        )
    seed = content.get('meta', {}).get('seed')
    given = (cfg.get('randomness') or {}).get('seed')
    if seed is None or seed == given:
        return
    if given is not None:
        tell(f'{path}: was trained with seed {seed}, and so the training goes on; seed {given} is not used')
    cfg['randomness'] = dict(cfg.get('randomness') or {}, seed=seed)


def newest_checkpoint(work_dir: str | Path) -> str | None:
    """The newest sound checkpoint of a folder to go on from; says which ones it passes over and why."""
    if not Path(work_dir).is_dir():
        return None
    found, skipped = find_resumable(work_dir)
    for path, reason in skipped:
        tell(f'{path}: passed over: {reason}')
    if skipped:
        tell(f'going on from {found}' if found else f'{work_dir}: nothing to go on from; the training begins anew')
    return str(found) if found else None


def resumable(loop: Mapping) -> dict:
    """Settings of a train loop with mmengine's own loops replaced by those that resume exactly."""
    loop = dict(loop)
    if 'type' not in loop and 'by_epoch' in loop:
        loop['type'] = EpochBasedTrainLoop if loop.pop('by_epoch') else IterBasedTrainLoop
    for theirs, ours in RESUMABLE.items():
        if _is_class(LOOPS, loop.get('type'), theirs):
            loop['type'] = ours
    return loop


def tell(message: str) -> None:
    """Warn on the console, in the first of several processes; there is no log yet."""
    if os.environ.get('RANK', '0') == '0':
        print(f'warning: {message}', file=sys.stderr)


def _is_class(registry: Any, kind: Any, expected: type) -> bool:
    """Whether a ``type`` of a config, a name or a class, means this very class."""
    return kind is expected or (isinstance(kind, str) and registry.get(kind) is expected)
