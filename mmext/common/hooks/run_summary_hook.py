"""Tells at the end of a run where its results are."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Logs best score and checkpoint, scalars and pictures of a finished run, each only if it exists.

    Works with every toolbox: the paths come from the Runner, the score from ``CheckpointHook(save_best=...)``.
    """

    priority = 'LOWEST'

    def after_train(self, runner) -> None:
        for line in summary_lines(runner.message_hub.runtime_info, Path(runner.log_dir)):
            runner.logger.info(line)


def summary_lines(runtime_info: dict, log_dir: Path) -> list[str]:
    """The lines of the summary.

    Args:
        runtime_info: Of mmengine's message hub; ``best_score`` and ``best_ckpt`` are read.
        log_dir: Folder of one run: ``<work dir>/<timestamp>``.
    """
    lines = []
    if 'best_ckpt' in runtime_info:
        lines.append(f'best checkpoint ({runtime_info["best_score"]:.2f}): {runtime_info["best_ckpt"]}')
    scalars = log_dir / 'vis_data' / 'scalars.json'
    if scalars.is_file():
        lines.append(f'metrics: {scalars}')
    pictures = sorted((log_dir / 'vis_data' / 'vis_image').glob('*.png'))
    if pictures:
        lines.append(f'pictures ({len(pictures)}): {pictures[0].parent}')
    return lines
