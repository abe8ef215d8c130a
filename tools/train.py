"""Train the model of a config with the toolbox that the config belongs to.

Examples:
    python tools/train.py configs/quickstart.py
    python tools/train.py configs/quickstart.py --resume
    bash tools/dist_train.sh configs/quickstart.py 2 --amp
"""

import argparse
from collections.abc import Sequence

from mmengine.config import DictAction

from mmext.common import running


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
        help='go on from the newest checkpoint in the work dir, or from PATH',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the total batch')
    parser.add_argument('--seed', type=int, help='seed of all random generators')
    parser.add_argument('--deterministic', action='store_true', help='only deterministic algorithms')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    cfg = running.load_config(args.config, args.cfg_options, args.work_dir)
    if args.amp:
        running.enable_amp(cfg)
    if args.auto_scale_lr:
        running.enable_auto_scale_lr(cfg)
    running.set_resume(cfg, args.resume)
    running.set_randomness(cfg, args.seed, args.deterministic)
    running.check_weights(cfg)
    running.set_launcher(cfg, args.launcher)
    running.build_runner(cfg).train()
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
