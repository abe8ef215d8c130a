"""Score detections that lie in files, without a model: AP of PASCAL VOC and COCO, precision, recall, F1, PR curves.

    python tools/analysis/eval_detections.py DETECTIONS TRUTH [--preset report] [--iou 0.5 0.75] [--out DIR]

DETECTIONS and TRUTH are two text files (lines "image class score x1 y1 x2 y2" and "image class x1 y1 x2 y2
[difficult]"), COCO's results and annotations (.json), or folders of the VOC devkit (comp4_det_<set>_<class>.txt and
VOCdevkit/VOC2007). detections.json of a test holds both: give no TRUTH.

A case to check by hand. Four detections of three cats and one difficult cat; in truth.txt

    a cat  0  0 10 10
    a cat 20 20 30 30
    b cat  0  0 10 10
    b cat 40 40 50 50 difficult

and in detections.txt

    a cat 0.9  0  0 10 10
    b cat 0.8 40 40 50 50
    a cat 0.7 60 60 70 70
    b cat 0.6  0  0 10 10
    b cat 0.5  1  0 10 10

The first is a hit, the second ignored, the third a miss, the fourth a hit, the fifth a duplicate and so a miss:
precision 1, 1/2, 2/3, 1/2 at recall 1/3, 1/3, 2/3, 2/3. AP by area is 1/3 x 1 + 1/3 x 2/3 = 5/9 = 0.556; by 11 points
the precision is 1 at recall 0, 0.1, 0.2, 0.3, then 2/3 at 0.4, 0.5, 0.6, then 0: (4 + 2) / 11 = 0.545.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmext.common.arguments import output_folder
from mmext.common.average_precision import MODES
from mmext.common.detection_files import check_objects, read_detection_set, strangers
from mmext.common.detection_report import score_report, score_tables
from mmext.common.detection_scores import score_detections
from mmext.common.detection_settings import PRESETS, score_settings
from mmext.common.files import write_json, write_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('detections', type=Path, help='text, JSON or folder')
    parser.add_argument('truth', type=Path, nargs='?', help='of the same format; not for detections.json of a test')
    parser.add_argument('--preset', choices=PRESETS, default='eval_map', help='settings; the others change them')
    parser.add_argument('--iou', type=float, nargs='+', metavar='IOU', help='thresholds, the main one first')
    parser.add_argument('--mode', choices=MODES, help='the AP that is called mAP (both are computed)')
    parser.add_argument('--score-thr', type=float, metavar='S', help='of precision, recall and F1')
    parser.add_argument('--min-score', type=float, metavar='S', help='forget detections that are not above it')
    plus_one = parser.add_argument_group('width of boxes').add_mutually_exclusive_group()
    plus_one.add_argument('--legacy', action='store_true', default=None, help='x2 - x1 + 1, as the VOC devkit has it')
    plus_one.add_argument('--no-legacy', dest='legacy', action='store_false', help='x2 - x1')
    parser.add_argument(
        '--out', type=output_folder, metavar='DIR', help='write metrics.json, metrics.txt and pr_curves.png'
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    settings = score_settings(
        args.preset,
        iou_thrs=args.iou,
        mode=args.mode,
        score_thr=args.score_thr,
        min_score=args.min_score,
        legacy_plus_one=args.legacy,
    )
    data = read_detection_set(args.detections, args.truth)
    check_objects(data, args.truth or args.detections)
    scores = score_detections(data, settings)
    for note in strangers(data, args.detections):
        print(f'warning: {note}', file=sys.stderr)
    tables = score_tables(scores)
    print(tables)
    if args.out:
        # matplotlib is imported by those who draw only
        from mmext.common.pr_figure import save_pr_figure

        write_json(args.out / 'metrics.json', score_report(scores))
        write_text(args.out / 'metrics.txt', tables)
        save_pr_figure(args.out / 'pr_curves.png', scores)
        print(f'written: metrics.json, metrics.txt and pr_curves.png in {args.out}')


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        run(args)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
