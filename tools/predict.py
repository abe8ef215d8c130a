"""Predict for pictures with a trained model of any of the three toolboxes, and show and write down what it says.

An INPUT is a picture, a folder (searched with its subfolders), a quoted pattern or a text file with one path a line.
DIR gets pictures/ with the predictions drawn in, predictions.json and, for segmentation, labels/ with class indices.
Files that cannot be read are listed at the end; the others are done, and the exit status is 1.

Examples:
    python tools/predict.py configs/quickstart.py work_dirs/quickstart/iter_500.pth photos --out predictions
    python tools/predict.py CONFIG CHECKPOINT 'frames/*.png' list.txt --out DIR --batch 8 --csv DIR/table.csv
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmext.common.arguments import finite
from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.prediction.inputs import VideoError, check_outputs, find_images
from mmext.common.prediction.prediction_run import Outcome, predict_files
from mmext.common.prediction.predictor import Predictor
from mmext.common.running import load_config
from mmext.common.wording import counted


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='picture, folder, pattern or list')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--batch', type=int, default=1, metavar='N', help='pictures a batch (default: 1)')
    parser.add_argument('--device', help='where the network runs (default: the GPU if there is one)')
    parser.add_argument(
        '--score-thr', type=finite, default=0.3, help='detections that score less are left out (default: 0.3)'
    )
    parser.add_argument('--no-pictures', action='store_true', help='draw nothing')
    parser.add_argument('--csv', type=Path, metavar='FILE', help='table of the results')
    parser.add_argument('--workers', type=int, default=2, metavar='N', help='threads that read, and draw (default: 2)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    add_trust_option(parser)
    args = parser.parse_args(argv)
    if min(args.batch, args.workers) < 1:
        parser.error('--batch and --workers need at least 1')
    return args


def video_hint(video: Path, args: argparse.Namespace) -> str:
    """Which tool takes a video, where there is one for the task of the config."""
    if load_config(args.config, args.cfg_options).get('default_scope') != 'mmseg':
        return ''
    command = f'tools/video_segmentation.py {video} --model {args.config} {args.checkpoint} --out {args.out}'
    return f'; or have videos of the predictions: python {command}'


def run(args: argparse.Namespace) -> Outcome:
    try:
        paths = find_images(args.inputs)
    except VideoError as error:
        raise ValueError(f'{error}{video_hint(error.path, args)}') from error
    check_outputs(args.out, args.csv, args.inputs, paths)
    predictor = Predictor(args.config, args.checkpoint, args.device, args.cfg_options)
    print(f'{args.checkpoint}: holds {predictor.weights.share:.1%} of the parameters of {args.config}')
    if missing := predictor.weights.missing:
        print(
            f'warning: {len(missing)} tensors are not in it and stay random: {", ".join(missing[:4])}', file=sys.stderr
        )
    header = {'config': args.config, 'checkpoint': args.checkpoint}
    pictures = not args.no_pictures
    return predict_files(
        predictor, paths, args.out, header, args.batch, args.score_thr, pictures, args.csv, args.workers
    )


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)
    try:
        outcome = run(args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'stopped; {args.out} has what was done until then', file=sys.stderr)
        return 130
    found = ', '.join(f'{name} {count}' for name, count in outcome.found.most_common(8)) or 'nothing found'
    print(f'{args.out}/predictions.json: {counted(outcome.done, "picture")} ({found})')
    if not outcome.unreadable:
        return 0
    print(f'error: {counted(len(outcome.unreadable), "file")} could not be used:', file=sys.stderr)
    for entry in outcome.unreadable:
        print(f'  {entry["image"]}: {entry["reason"]}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    raise SystemExit(main())
