"""Segment a video with one or several models: videos, a contact sheet, class shares and flicker, in a constant memory.

VIDEO is a video file, a folder of pictures or the number of a camera (0 is the first). For each model DIR gets
NAME_color.mp4 (the classes' colours) and NAME_mix.mp4 (over the frames, with the sound of the video); for all of them
comparison.mp4 (input and mixes beside each other), contact_sheet.png, class_shares.csv, timeline.png and summary.json.
Without --fps the output keeps the times of its frames: with --every 3 it has a third of the rate, and lasts as long.
With --fps the frames follow each other at that rate: a video may then run faster or slower, and has no sound if so.

Ctrl-C finishes the files with what was done until then; --resume goes on there, also after a crash, and gives the same
files as an uninterrupted run. Where a video cannot be read to its end, the frames before are segmented; exit status 1.

Examples:
    python tools/video_segmentation.py drive.mp4 --model a.py a.pth --model B b.py b.pth --out videos
    python tools/video_segmentation.py drive.mp4 --model a.py a.pth --every 3 --fps 10 --frames 1 100 200 --out videos
"""

import argparse
import sys
from collections.abc import Sequence

from mmengine.config import DictAction

from mmext.common.arguments import at_least, output_folder
from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.segmentation.video.command import model_arguments, rate_argument, run, share_argument


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('video', metavar='VIDEO', help='video file, folder of pictures or number of a camera')
    parser.add_argument(
        '--model',
        nargs='+',
        action='append',
        required=True,
        metavar=('[NAME] CONFIG', 'CHECKPOINT'),
        help='may be given several times; the default name is that of the config, without a checkpoint it is random',
    )
    parser.add_argument('--out', type=output_folder, required=True, metavar='DIR')
    parser.add_argument('--every', type=at_least(1), default=1, metavar='N', help='keep one of N frames (default: 1)')
    parser.add_argument(
        '--fps',
        type=rate_argument,
        metavar='RATE',
        help='of the output, 10 or 29.97 or 30000/1001 (default: as it was)',
    )
    parser.add_argument(
        '--mix', type=share_argument, default=0.7, metavar='SHARE', help='of the colours, the rest is the frame (0.7)'
    )
    parser.add_argument('--batch', type=at_least(1), default=1, metavar='N', help='frames a batch (default: 1)')
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16, or bfloat16 on the CPU')
    parser.add_argument(
        '--frames',
        type=at_least(1),
        nargs='+',
        metavar='N',
        help='of the output, for the contact sheet; 1 is the first',
    )
    parser.add_argument('--resume', action='store_true', help='go on where a run with the same settings ended')
    parser.add_argument('--device', help='where the networks run (default: the GPU if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='for every config')
    add_trust_option(parser)
    args = parser.parse_args(argv)
    try:
        args.model = model_arguments(args.model)
    except ValueError as error:
        parser.error(f'--model: {error}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)
    try:
        return run(args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    raise SystemExit(main())
