"""Show how a classifier's features lie: t-SNE, UMAP or PCA of one split, coloured by class.

Read is what enters the classifier's last linear layer, or the output of --layer. Printed beside the figure: the
leave-one-out accuracy of the k nearest neighbours in the features, and how far the plane can be trusted. DIR receives
embedding.png, embedding.json, and features.npz with features, labels, classes and points.

Examples:
    python tools/analysis/embed.py CONFIG CKPT --out embedding
    python tools/analysis/embed.py CONFIG CKPT --split train --limit 5000 --perplexity 50 --out embedding
    python tools/analysis/embed.py CONFIG CKPT --layer backbone.layer3 --method pca --out embedding
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmext.analysis.embedding import LEAST_SAMPLES, METHODS, Embedding, check_method, embed
from mmext.analysis.embedding_figure import embedding_figure
from mmext.analysis.features import SPLITS, SplitFeatures, save_features, split_features
from mmext.common.arguments import at_least, output_folder
from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.figures import save_figure
from mmext.common.files import write_json
from mmext.common.running import load_config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', metavar='CONFIG', help='config file of a classifier')
    parser.add_argument('checkpoint', metavar='CKPT', help='its weights')
    parser.add_argument('--split', choices=SPLITS, default='val', help='whose pictures (default: val)')
    parser.add_argument('--out', type=output_folder, required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--layer', metavar='NAME', help="module whose output to show (default: the classifier's input)")
    parser.add_argument('--method', choices=METHODS, default='tsne', help='default: %(default)s')
    parser.add_argument('--k', type=at_least(1), default=5, help='nearest neighbours (default: %(default)s)')
    parser.add_argument(
        '--perplexity', type=at_least(1, float), default=30, help='of t-SNE; neighbours of UMAP (default: 30)'
    )
    parser.add_argument(
        '--limit', type=at_least(LEAST_SAMPLES), metavar='N', help='pictures to draw at random (default: all)'
    )
    parser.add_argument('--seed', type=at_least(0), default=0, help='default: %(default)s')
    parser.add_argument('--device', help='where the network runs (default: the GPU if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    add_trust_option(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> tuple[SplitFeatures, Embedding]:
    check_method(args.method)
    cfg = load_config(args.config, args.cfg_options)
    found = split_features(cfg, args.checkpoint, args.split, args.layer, args.limit, args.seed, args.device)
    result = embed(found.features, found.labels, args.method, args.k, args.perplexity, args.seed)
    save_features(args.out / 'features.npz', found, result.points)
    settings = {key: value for key, value in vars(args).items() if key not in ('out', 'device', 'trust_checkpoint')}
    scores = {key: value for key, value in result._asdict().items() if key != 'points'}
    described = dict(samples=len(found.labels), classes=found.classes, read=found.layer)
    write_json(args.out / 'embedding.json', settings | described | scores)
    title = f'{Path(args.config).stem}, {args.split}: {summary(found, result, args)}'
    save_figure(embedding_figure(result.points, found.labels, found.classes, title), args.out / 'embedding.png')
    return found, result


def summary(found: SplitFeatures, result: Embedding, args: argparse.Namespace) -> str:
    number, size = found.features.shape
    scores = f'{min(args.k, number - 1)}-NN {result.knn_accuracy:.1%} (largest class {result.majority:.1%})'
    of = f'{METHODS[args.method]} of {number} x {size} features'
    return f'{of}\n{scores}, trustworthiness {result.trustworthiness:.3f}'


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)
    try:
        found, result = run(args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if found.missing:
        print(f'warning: {len(found.missing)} tensors are not in {args.checkpoint}', file=sys.stderr)
    for note in result.notes:
        print(f'note: {note}', file=sys.stderr)
    print(f'{found.layer}: {summary(found, result, args)}\n{args.out}: embedding.png, embedding.json, features.npz')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
