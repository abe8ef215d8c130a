"""Turn a checkpoint into files that cannot run code: its weights as safetensors, the plain rest as JSON.

A .pth file is a pickle, which may run any code when it is read. The file is read without running it; one that holds
more than data is refused unless its SHA-256 is given, and then its code does run: do that where the file was made.
The weights can be used wherever a .pth can, but a training cannot be resumed from them.

Examples:
    python tools/prepare/scrub_checkpoint.py work_dirs/run/iter_20000.pth --out published
    python tools/prepare/scrub_checkpoint.py old.pth --out new.safetensors --trust-checkpoint SHA256
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmext.common.checkpoint_scrubbing import Scrubbed, scrub
from mmext.common.checkpoints import CheckpointError, add_trust_option, apply_trust


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, metavar='OLD', help='the checkpoint; it is left as it is')
    parser.add_argument('--out', type=Path, required=True, metavar='PATH', help='folder, or a .safetensors file')
    add_trust_option(parser)
    return parser.parse_args(argv)


def describe(result: Scrubbed) -> str:
    lines = [f'{result.weights}: {result.tensors} tensors', f'{result.rest}: settings and log values']
    parts = Counter(name.split('.')[0].split(' ')[0] for name in result.dropped)
    for part, count in parts.items():
        first = next(name for name in result.dropped if name.startswith(part))
        lines.append(f'dropped: {part}, {count} value{"s" if count > 1 else ""} that JSON cannot hold, first {first}')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        apply_trust(args)
        result = scrub(args.checkpoint, args.out)
    except (CheckpointError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(describe(result))
    return 0


if __name__ == '__main__':
    sys.exit(main())
