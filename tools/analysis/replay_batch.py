"""Pass a batch that NonFiniteGuard kept through its model again, and say where it becomes NaN or Inf.

Examples:
    python tools/analysis/replay_batch.py work_dirs/RUN/CONFIG.py work_dirs/RUN/non_finite/iter_120_rank0.pt
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope

from mmext.common.checkpoints import add_trust_option, apply_trust, read_checkpoint, use_safe_loading
from mmext.common.hooks.non_finite_replay import read_incident, replay
from mmext.common.running import drop_pretrained, load_config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the run; its work dir has a copy')
    parser.add_argument('batch', type=Path, help='iter_*_rank*.pt below non_finite/')
    parser.add_argument('--weights', type=Path, help='of that moment (default: the file that was kept with the batch)')
    add_trust_option(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        apply_trust(args)
        incident = read_incident(args.batch)
        weights = args.weights or (args.batch.with_name(incident.weights) if incident.weights else None)
        if weights is None:
            raise ValueError(f'{args.batch}: no weights were kept with it; name a checkpoint of the run by --weights')
        cfg = load_config(args.config)
        use_safe_loading()
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        drop_pretrained(cfg, teacher=False)
        model = MODELS.build(cfg.model)
        model.load_state_dict(read_checkpoint(weights)['state_dict'])
    except (ValueError, OSError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    found = replay(model.to(get_device()), incident)
    print(f'iteration {incident.iteration + 1}: {found.text}\nlosses: {found.losses}\ntry: {found.advice}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
