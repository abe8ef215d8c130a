"""Segment frames with several models and put the predictions beside each other.

Writes DIR/comparison.png (a row a frame: input, one column a model, ground truth if given, with the frame's mIoU), and
for each model DIR/NAME/<frame>_labels.png (class indices, grey) and <frame>_color.png (the classes' colours). Without
a checkpoint a model has random weights.

Examples:
    python tools/analysis/compare_models.py frame.png --model A a.py a.pth --model B b.py b.pth --out pictures
    python tools/analysis/compare_models.py a.png b.png --model B0 b0.py b0.pth --truth data/kitti_seg/ann_dir/val \
        --out pictures
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import DictAction

from mmext.common.arguments import output_folder
from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.figures import save_figure
from mmext.common.image_files import why_damaged
from mmext.segmentation.datasets.label_encoding import read_mask, to_train_ids, write_colored_mask, write_mask
from mmext.segmentation.evaluation.stage_figure import StageRow, stage_figure
from mmext.segmentation.inference import Segmenter


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('frames', nargs='+', type=Path, help='images')
    parser.add_argument(
        '--model',
        nargs='+',
        action='append',
        required=True,
        metavar=('NAME', 'CONFIG'),
        help='NAME CONFIG [CHECKPOINT]',
    )
    parser.add_argument('--truth', type=Path, help='folder of masks of class indices, <frame>.png')
    parser.add_argument('--label-ids', action='store_true', help='--truth holds the ids of Cityscapes and KITTI')
    parser.add_argument('--out', type=output_folder, required=True, metavar='DIR')
    parser.add_argument('--device', help='default: the GPU if there is one')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='for every config')
    add_trust_option(parser)
    args = parser.parse_args(argv)
    for model in args.model:
        if len(model) not in (2, 3):
            parser.error(f'--model {" ".join(model)}: expected NAME CONFIG [CHECKPOINT]')
    names = [model[0] for model in args.model]
    if len(set(names)) < len(names):
        parser.error(f'--model: every model needs a name of its own, got {", ".join(names)}')
    return args


def read_frame(path: Path) -> np.ndarray:
    """(H, W, 3) BGR."""
    reason = why_damaged(path)
    if not reason:
        try:
            frame = cv2.imread(str(path))
        except cv2.error as error:  # more pixels than it would read
            reason = error.err
        else:
            reason = '' if frame is not None else 'empty' if not path.stat().st_size else 'not a picture'
    if reason:
        raise ValueError(f'{path}: no picture that can be used ({reason}); leave it out or copy it again')
    return frame


def read_truth(path: Path, label_ids: bool) -> np.ndarray:
    """(H, W) class indices."""
    return to_train_ids(read_mask(path), 'label_ids', path) if label_ids else read_mask(path)


def segment(model: Segmenter, paths: Sequence[Path], frames: Sequence[np.ndarray], out: Path) -> list[np.ndarray]:
    """The predictions (H, W), also written to files."""
    predictions = [model([frame])[0] for frame in frames]
    for path, labels in zip(paths, predictions, strict=True):
        write_mask(out / f'{path.stem}_labels.png', labels)
        write_colored_mask(out / f'{path.stem}_color.png', labels, model.palette)
    return predictions


def run(args: argparse.Namespace) -> None:
    frames = [read_frame(path) for path in args.frames]
    truths: list = [None] * len(frames)
    if args.truth:
        truths = [read_truth(args.truth / f'{path.stem}.png', args.label_ids) for path in args.frames]
    columns, classes = [], None
    for name, *files in args.model:
        model = Segmenter(*files, device=args.device, cfg_options=args.cfg_options)
        if classes not in (None, model.classes):
            raise ValueError(f'{name}: {files[0]} and {args.model[0][1]} have different classes')
        classes = model.classes
        start = time.perf_counter()
        columns.append(segment(model, args.frames, frames, args.out / name))
        print(f'{name}: {(time.perf_counter() - start) / len(frames):.2f} s a frame, files included')
    rows = [
        StageRow(path.stem, frame[..., ::-1], [column[place] for column in columns], truth)
        for place, (path, frame, truth) in enumerate(zip(args.frames, frames, truths, strict=True))
    ]
    figure = stage_figure(rows, [name for name, *_ in args.model], classes, model.palette)
    save_figure(figure, args.out / 'comparison.png')
    print(args.out / 'comparison.png')


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
