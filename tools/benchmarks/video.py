"""Frames a second of a video from end to end, beside its network alone and beside upstream's way to do it.

- network: the network alone, on frames that were decoded and prepared before;
- studio: mmext.segmentation.video with all its outputs (colours, mix, comparison, table), encoders included;
- upstream: per frame cv2 reads, mmseg.apis.inference_model, cv2 writes colours and mix as MPEG-4;
- demo: as upstream, but drawn by mmseg's show_result_pyplot with names, as its video demo does (no colours).

All use one network object and one batch size (upstream knows only single frames), and run in turn, so that a busy
machine slows all alike; ratios are those of one round, and of the best times. The network has one thread by default:
it stands for a device of its own, and the other core for what surrounds it. Starting, joining and the figures, which
do not depend on the length, are not counted. Without --video, the frames are cut out of the embedded sample.
python tools/benchmarks/video.py [--case light] [--video FILE] [--frames 60] [--repeats 5] [--threads 1] [--device cuda]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, show_result_pyplot
from rich.console import Console
from rich.table import Table

from mmext.common.arguments import at_least
from mmext.common.files import write_json
from mmext.common.running import load_config
from mmext.segmentation.video.class_shares import class_shares, read_rows
from mmext.segmentation.video.network import SegmenterModel
from mmext.segmentation.video.studio import StudioOptions, segment_video
from mmext.segmentation.video.video_file import VideoFile
from mmext.segmentation.video.writer import VideoWriter

SAMPLE = 'data/samples/kitti_seg/training/image_2'
QUICKSTART = 'configs/quickstart.py'
PIPELINE = 'test_dataloader.dataset.pipeline'


def quickstart(width: int, scale: tuple[int, int]) -> dict:
    """Settings of the quickstart's network with other widths, on another size (width, height)."""
    return {
        'model.backbone.base_channels': width,
        'model.backbone.stem_channels': width,
        'model.decode_head.in_channels': [width, 2 * width, 4 * width, 8 * width],
        'model.decode_head.channels': 2 * width,
        f'{PIPELINE}.1.scale': scale,
    }


# Config, changed settings, size (height, width) of the frames.
CASES = {
    'light': (QUICKSTART, quickstart(8, (320, 96)), (540, 960)),
    'middle': (QUICKSTART, quickstart(16, (512, 160)), (540, 960)),
    'quickstart': (QUICKSTART, {}, (540, 960)),
    'pspnet': ('configs/segmentation/context/ppm_r18-d8_1xb4-300i_sample-128x256.py', {}, (540, 960)),
}


def make_video(path: Path, frames: int, size_hw: tuple[int, int]) -> None:
    """A camera that pans over the sample's frames, 25 frames a second."""
    pictures = [cv2.imread(str(file)) for file in sorted(Path(SAMPLE).glob('*.png'))]
    height, width = size_hw
    writer = VideoWriter(path, size_hw, Fraction(25), Fraction(1, 25))
    for number in range(frames):
        picture = cv2.resize(pictures[number // 25 % len(pictures)], (width + 50, height + 50))
        x = number % 25
        writer.write(np.ascontiguousarray(picture[x : x + height, 2 * x : 2 * x + width]), number, 1)
    writer.close()


def cut_video(source: Path, path: Path, frames: int) -> None:
    """The first frames of a video, 25 a second."""
    writer = None
    for number, frame in enumerate(islice(VideoFile(source).read(), frames)):
        writer = writer or VideoWriter(path, frame.picture.shape[:2], Fraction(25), Fraction(1, 25))
        writer.write(frame.picture, number, 1)
    if writer is None:
        raise ValueError(f'{source}: has no frame that can be read; give another --video')
    writer.close()


def run_network(model: SegmenterModel, prepared: Sequence, batch: int) -> tuple[float, list[np.ndarray]]:
    """Seconds and label maps."""
    start, labels = time.perf_counter(), []
    for first in range(0, len(prepared), batch):
        labels += model(prepared[first : first + batch])
    return time.perf_counter() - start, labels


def run_studio(model: SegmenterModel, video: Path, out: Path, batch: int) -> float:
    """Seconds."""
    return segment_video(VideoFile(video), [model], out, StudioOptions(batch=batch)).seconds


def run_upstream(network: torch.nn.Module, palette: Sequence, video: Path, out: Path, draw: bool) -> float:
    """Seconds."""
    colors = np.array(palette, np.uint8)[:, ::-1]
    start = time.perf_counter()
    reader, writers = cv2.VideoCapture(str(video)), []
    while (read := reader.read())[0]:
        result = inference_model(network, read[1])
        if draw:
            pictures = [show_result_pyplot(network, read[1], result, show=False)]
        else:
            painted = colors[result.pred_sem_seg.data[0].cpu().numpy()]
            pictures = [painted, (0.7 * painted + 0.3 * read[1]).astype(np.uint8)]
        if not writers:
            height, width = pictures[0].shape[:2]
            code = cv2.VideoWriter_fourcc(*'mp4v')
            writers = [
                cv2.VideoWriter(str(out / f'upstream{n}.mp4'), code, reader.get(cv2.CAP_PROP_FPS), (width, height))
                for n in range(len(pictures))
            ]
        for writer, picture in zip(writers, pictures, strict=True):
            writer.write(picture)
    for writer in (reader, *writers):
        writer.release()
    return time.perf_counter() - start


def measure(name: str, args: argparse.Namespace, folder: Path) -> dict:
    """Seconds of each way in each round, ratios, and whether the studio's label maps are those of the network."""
    config, options, size_hw = CASES[name]
    video = folder / f'{name}.mp4'
    if args.video:
        cut_video(args.video, video, args.frames)
    else:
        make_video(video, args.frames, size_hw)
    model = SegmenterModel(name, config, device=args.device, cfg_options=options)
    network = model._segmenter.model
    # What upstream's functions take from a model that they loaded.
    network.cfg = Config(dict(test_pipeline=deepcopy(load_config(config, options).test_dataloader.dataset.pipeline)))
    network.dataset_meta = dict(classes=model.classes, palette=model.palette)
    frames = [frame.picture for frame in VideoFile(video).read()]
    prepared = [model.prepare(frame) for frame in frames]
    palette = model.palette
    ways: dict[str, Callable[[], float]] = {
        'network': lambda: run_network(model, prepared, args.batch)[0],
        'studio': partial(run_studio, model, video, folder / name, args.batch),
        'upstream': partial(run_upstream, network, palette, video, folder, draw=False),
    }
    if not args.no_demo:
        ways['demo'] = partial(run_upstream, network, palette, video, folder, draw=True)
    _, labels = run_network(model, prepared, args.batch)  # also warms up
    rounds = {way: [] for way in ways}
    for _ in range(args.repeats):
        for way, function in ways.items():
            rounds[way].append(function())
    return {
        'frames': len(frames),
        'size_hw': frames[0].shape[:2],
        'seconds': rounds,
        'load': os.getloadavg()[0],
        'agrees': same_shares(labels, folder / name / 'class_shares.csv', model.classes),
    }


def same_shares(labels: Sequence[np.ndarray], table: Path, classes: Sequence[str]) -> bool:
    """Whether a table holds the shares of these label maps, frame by frame."""
    told = [[float(row[label]) for label in classes] for row in read_rows(table)]
    return np.allclose(told, [class_shares(found, len(classes)) for found in labels], atol=1e-5)


def print_case(name: str, found: dict) -> None:
    """Print frames a second and how the studio compares: median of the rounds' ratios, ratio of the best times."""
    seconds, studio = found['seconds'], found['seconds']['studio']
    height, width = found['size_hw']
    table = Table('', 'frames/s (median)', 'best', 'studio is (median)', 'by best times')
    load = f'{found["load"]:.1f} busy processes on {os.cpu_count()} cores'
    table.title = f'{name}: {found["frames"]} frames of {width} x {height}, {load}'
    for way, times in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(times, studio, strict=True)]
        found.setdefault('ratio', {})[way] = statistics.median(ratios)
        found.setdefault('ratio_of_best', {})[way] = min(times) / min(studio)
        rates = [found['frames'] / value for value in (statistics.median(times), min(times))]
        shown = [f'{value:.2f} x' for value in (found['ratio'][way], found['ratio_of_best'][way])]
        table.add_row(way, *(f'{rate:.2f}' for rate in rates), *(shown if way != 'studio' else ('', '')))
    Console(width=100).print(table)
    print(f'  {"agrees" if found["agrees"] else "DIFFERS"}: label maps of the studio = those of the network alone')


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--case', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--video', type=Path, help='instead of frames of the sample')
    parser.add_argument('--frames', type=at_least(1), default=60, help='as many at most')
    parser.add_argument('--repeats', type=at_least(1), default=5)
    parser.add_argument('--batch', type=at_least(1), default=1)
    parser.add_argument('--threads', type=at_least(1), default=1, help='of the network')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--no-demo', action='store_true', help='leave out the slow drawing of mmseg')
    parser.add_argument('--json', type=Path, help='write the figures here')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.case:
            report[name] = measure(name, args, Path(folder))
            print_case(name, report[name])
    if args.json:
        write_json(args.json, report)
    return 0 if all(found['agrees'] for found in report.values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
