"""Tells at the end of a run where its results are."""

import io
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from rich.console import Console
from rich.table import Table


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Logs accuracies, best score and checkpoint, scalars and pictures of a finished run, each only if it exists.

    Works with every toolbox: the paths come from the Runner, the score from ``CheckpointHook(save_best=...)``.
    """

    priority = 'LOWEST'

    def after_train(self, runner) -> None:
        hub = runner.message_hub
        if table := accuracy_table({name: scalar.current() for name, scalar in hub.log_scalars.items()}):
            runner.logger.info('accuracies of the last validation, in percent:\n' + table)
        for line in summary_lines(hub.runtime_info, Path(runner.log_dir)):
            runner.logger.info(line)


def accuracy_table(scalars: dict[str, float]) -> str:
    """The accuracies of a classifier at its last validation, side by side; '' for other tasks, which print their own.

    Args:
        scalars: Last values by name, such as ``val/accuracy/top1``, in percent.
    """
    prefix = 'val/accuracy/'
    found = {name.removeprefix(prefix): value for name, value in scalars.items() if name.startswith(prefix)}
    if not found:
        return ''
    table = Table(*found)
    table.add_row(*(f'{value:.2f}' for value in found.values()))
    console = Console(file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()


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
