"""Train the model of a config with the toolbox that the config belongs to.

Examples:
    python tools/train.py configs/quickstart.py
    python tools/train.py configs/quickstart.py --resume
    bash tools/dist_train.sh configs/quickstart.py 2 --amp
"""

import argparse
from collections.abc import Sequence

from mmengine.config import Config, DictAction

from mmext.common import checkpoints, running, trackers
from mmext.inspection.quick_check import DataHashHook, check_data


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: work_dirs/<config name>)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|PATH',
        help='go on from the newest sound checkpoint in the work dir, or from PATH',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the total batch')
    parser.add_argument('--seed', type=int, help='seed of all random generators')
    parser.add_argument('--deterministic', action='store_true', help='only deterministic algorithms')
    parser.add_argument('--skip-data-check', action='store_true', help='do not look at the data before training')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    parser.add_argument('--tracker', choices=trackers.TRACKERS, help='record with this too; offline without a key')
    checkpoints.add_trust_option(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace) -> Config:
    """The config with what the options ask for."""
    checkpoints.apply_trust(args)
    cfg = running.load_config(args.config, args.cfg_options, args.work_dir)
    if args.amp:
        running.enable_amp(cfg)
    if args.auto_scale_lr:
        running.enable_auto_scale_lr(cfg)
    running.set_resume(cfg, args.resume)
    running.set_randomness(cfg, args.seed, args.deterministic)
    running.check_weights(cfg)
    if args.tracker:
        trackers.set_tracker(cfg, args.tracker)
    return cfg


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        cfg = prepare(args)
        running.set_launcher(cfg, args.launcher)
        report = None if args.skip_data_check else check_data(cfg)
        runner = running.build_runner(cfg)
        if report:
            runner.register_hook(DataHashHook(report))
        running.build_loops(runner, 'train', 'val')
    except running.PREPARATION_ERRORS as error:
        return running.report(error)
    try:
        runner.train()
    except running.STORAGE_ERRORS as error:
        return running.report(error)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
