"""Proves at the start of a training which weights were loaded, and stops one that would start from the wrong ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import find_latest_checkpoint

from mmext.common.files import write_json
from mmext.common.initialisation import find_sources, inspect_initialisation, problems


@HOOKS.register_module()
class InitialisationProofHook(Hook):
    """Logs module by module what was loaded from which file, and stores it as ``initialisation.json`` of the run.

    Tensors count as loaded if they equal those of the file, see `inspect_initialisation`. The training stops before its
    first iteration if

    - less than ``min_loaded`` of a module was loaded,
    - nothing at all came of a file that the config names, or
    - something is random and frozen: it would stay noise. Batch norm that is in evaluation mode counts (``norm_eval``),
      and so does what the first stage of a `StagedTrainLoop` freezes.

    Works with every toolbox. Sources are the ``init_cfg`` of type ``Pretrained`` of all modules, ``load_from``, the
    checkpoint that a training is resumed from, and a distiller's ``teacher_checkpoint``. Weights that a module fetches
    by itself count as random. Models whose parameters are sharded over processes are not supported.

    Args:
        min_loaded: Least share of the values in a module's parameters that must be loaded, from 0 to 1, by the name of
            the module: ``dict(backbone=0.99)``. A number is that of the whole model. None asks for nothing.
        allow_frozen_random: Names of modules that may be random and frozen.

    Raises:
        ValueError: When built, a share is outside 0 to 1; in ``before_train``, on all processes, as above, or a module
            does not exist.
    """

    priority = 'VERY_HIGH'

    def __init__(
        self, min_loaded: float | Mapping[str, float] | None = None, allow_frozen_random: Sequence[str] = ()
    ) -> None:
        shares = min_loaded if isinstance(min_loaded, Mapping) else {'the model': min_loaded}
        for name, share in shares.items():
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f'min_loaded: {share} of {name} is no share; give a number from 0 to 1')
        if isinstance(allow_frozen_random, str):
            raise ValueError(f'allow_frozen_random={allow_frozen_random!r}: give a list of names of modules')
        self.min_loaded = min_loaded
        self.allow_frozen_random = allow_frozen_random

    def before_train(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.train()  # as every loop does next: this is when models put parts of themselves into evaluation mode
        load_from, resume = checkpoint_of(runner)
        proof = inspect_initialisation(model, find_sources(model, load_from, resume))
        found = problems(proof, self.min_loaded, self.allow_frozen_random)
        if is_main_process():
            runner.logger.info(proof.text())
            write_json(Path(runner.log_dir) / 'initialisation.json', proof.to_dict() | dict(problems=found))
        if found:
            raise ValueError(f'initial weights: {"; ".join(found)}')


def checkpoint_of(runner) -> tuple[str | None, bool]:
    """The checkpoint that a Runner loads after the initialisation, and whether it goes on from it."""
    resume, load_from = runner._resume, runner._load_from
    if resume and load_from is None:
        load_from = find_latest_checkpoint(runner.work_dir)
    return load_from, resume and load_from is not None
