"""Test a checkpoint with the toolbox that its config belongs to.

Examples:
    python tools/test.py configs/quickstart.py work_dirs/quickstart/best_mIoU_iter_400.pth --show-dir pictures
    python tools/test.py CONFIG CHECKPOINT --tta --out-labels predictions --label-ids
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction

from mmext.common import checkpoints, running
from mmext.inspection.class_check import check_classes


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder of logs and metrics (default: work_dirs/<config name>)')
    parser.add_argument('--show-dir', help='folder of pictures with the predictions drawn in')
    parser.add_argument('--out-labels', metavar='DIR', help='folder of grey label images (segmentation): trainIds')
    parser.add_argument('--label-ids', action='store_true', help='--out-labels writes the ids that benchmarks expect')
    parser.add_argument('--tta', action='store_true', help="test-time augmentation: the config's tta_pipeline")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    checkpoints.add_trust_option(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.label_ids and not args.out_labels:
        parser.error('--label-ids says what --out-labels DIR writes; give both')
    return args


def apply_outputs(cfg: Config, args: argparse.Namespace) -> None:
    """Add what --show-dir and --out-labels ask for; each error names the setting that is missing."""
    if args.show_dir:
        if 'visualization' not in cfg.get('default_hooks', {}):
            raise ValueError('--show-dir: the config has no default_hooks.visualization that could draw')
        cfg.default_hooks.visualization.draw = True
        cfg.visualizer.save_dir = args.show_dir
        # The backend saves below <save_dir>/vis_data; pictures belong into the folder that was asked for.
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend', img_save_dir='..')]
        if cfg.default_hooks.visualization.type == 'DetVisualizationHook':
            # Only so do pictures keep their names.
            cfg.default_hooks.visualization.test_out_dir = str(Path(args.show_dir).resolve())
    if args.out_labels:
        if cfg.get('default_scope') != 'mmseg':
            raise ValueError(f'--out-labels is for segmentation; default_scope is {cfg.get("default_scope")!r}')
        hook = dict(type='LabelMapHook', out_dir=args.out_labels, label_ids=args.label_ids)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]


def prepare(args: argparse.Namespace) -> Config:
    """The config with what the options ask for."""
    checkpoints.apply_trust(args)
    cfg = running.load_config(args.config, args.cfg_options, args.work_dir)
    meta = running.set_checkpoint(cfg, args.checkpoint)
    check_classes(cfg, meta)
    apply_outputs(cfg, args)
    if args.tta:
        running.enable_tta(cfg)
    return cfg


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        cfg = prepare(args)
        running.set_launcher(cfg, args.launcher)
        runner = running.build_runner(cfg)
        running.build_loops(runner, 'test')
    except running.PREPARATION_ERRORS as error:
        return running.report(error)
    try:
        runner.test()
    except running.STORAGE_ERRORS as error:
        return running.report(error)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
