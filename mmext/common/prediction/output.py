"""Results on disk: pictures, label maps, one JSON file and one table, all of them whole whenever the run ends."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmext.common.files import replacing
from mmext.common.prediction import drawing
from mmext.common.prediction.results import Result

JSON_NAME = 'predictions.json'
COLUMNS = {
    'classification': ('id', 'label', 'probability'),
    'detection': ('image', 'class', 'score', 'x1', 'y1', 'x2', 'y2'),
    'segmentation': ('image', 'class', 'share'),
}
_LOSSY = ('.jpg', '.jpeg', '.jpe')


def write_pictures(
    out_dir: Path,
    name: str,
    source: Path,
    result: Result,
    picture: np.ndarray | None,
    palette: Sequence[drawing.Color],
) -> dict[str, str]:
    """Write what there is to see of one result, each file whole or not at all.

    Args:
        out_dir: Gets ``pictures/<name>.jpg`` for a JPEG, else ``.png``, and for segmentation ``labels/<name>.png``.
        name: May hold folders.
        source: The file predicted for.
        result: Its result.
        picture: (H, W, 3) RGB uint8 to draw on; None draws nothing.
        palette: RGB by class index.

    Returns:
        ``picture`` and ``label_map``: the files below ``out_dir``.
    """
    files = picture_names(name, source)
    written = {}
    if result.label_map is not None:
        _write_image(out_dir / files['label_map'], _label_image(result.label_map, palette))
        written['label_map'] = files['label_map']
    if picture is not None:
        if 'boxes' in result.record:
            drawn = drawing.draw_detections(picture, result.record, palette, result.masks)
        elif result.label_map is not None:
            drawn = drawing.draw_segmentation(picture, result.label_map, result.record, palette)
        else:
            drawn = drawing.draw_classification(picture, result.record)
        _write_image(out_dir / files['picture'], Image.fromarray(drawn))
        written['picture'] = files['picture']
    return written


def picture_names(name: str, source: Path) -> dict[str, str]:
    """Where the picture and the label map of an input go, below the output folder."""
    suffix = '.jpg' if source.suffix.lower() in _LOSSY else '.png'
    return {'picture': f'pictures/{name}{suffix}', 'label_map': f'labels/{name}.png'}


def table_rows(task: str, record: Mapping[str, Any]) -> Iterator[tuple]:
    """The rows of one picture under ``COLUMNS[task]``; none where nothing was detected."""
    names = record['label_names']
    if task == 'classification':
        yield record['name'], names[0], record['probabilities'][0]
    elif task == 'detection':
        for name, score, box in zip(names, record['scores'], record['boxes'], strict=True):
            yield record['name'], name, score, *box
    else:
        for name, share in zip(names, record['shares'], strict=True):
            yield record['name'], name, share


class PredictionWriter:
    """Collects records in a file as they come, so that memory does not grow with their number.

    While it is open, they are lines of JSON in a hidden ``.part`` file; a killed process leaves that file. Closing
    makes ``predictions.json`` of it, one document that any JSON reader takes, with one picture a line; an older one
    is replaced only then.

    Args:
        out_dir: Folder of ``predictions.json``.
        task: 'segmentation', 'detection' or 'classification'.
        header: Entries of the document besides ``complete``, ``images`` and ``unreadable``.
        table: File of the CSV table; None writes none.
    """

    def __init__(self, out_dir: Path, task: str, header: Mapping[str, Any], table: Path | None = None) -> None:
        self.path, self.task, self.header = out_dir / JSON_NAME, task, dict(header)
        self.unreadable: list[dict[str, str]] = []
        self.count = 0
        self.table = table
        self._lines: Any = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Append the record of a picture: ``image``, ``name``, ``size_hw`` and what its task adds."""
        self._lines.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + '\n')
        self.count += 1

    def add_unreadable(self, image: Path, reason: str) -> None:
        """Note a file that no prediction could be made for."""
        self.unreadable.append({'image': image.as_posix(), 'reason': reason})

    @contextmanager
    def open(self) -> Iterator['PredictionWriter']:
        """Within the block records can be added; the files appear when it ends, also after an error.

        After an error, Ctrl-C for one, they hold what was added before, and ``complete`` is false.
        """
        lines = self.path.with_name(f'.predictions.jsonl.{os.getpid()}.part')
        lines.parent.mkdir(parents=True, exist_ok=True)
        complete = False
        try:
            with lines.open('w+', encoding='utf-8') as self._lines:
                try:
                    yield self
                    complete = True
                finally:
                    self._write_document(complete)
                    if self.table:
                        self._write_table(self.table)
        finally:
            lines.unlink(missing_ok=True)

    def _write_document(self, complete: bool) -> None:
        self._lines.seek(0)
        with replacing(self.path) as unfinished, unfinished.open('w', encoding='utf-8') as file:
            file.write('{\n')
            for key, value in {**self.header, 'complete': complete, 'unreadable': self.unreadable}.items():
                file.write(f'"{key}": {json.dumps(value, ensure_ascii=False)},\n')
            file.write('"images": [')
            for number, line in enumerate(self._lines):
                file.write((',\n' if number else '\n') + line.rstrip('\n'))
            file.write('\n]\n}\n')

    def _write_table(self, path: Path) -> None:
        self._lines.seek(0)
        with replacing(path) as unfinished, unfinished.open('w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(COLUMNS[self.task])
            for line in self._lines:
                writer.writerows(table_rows(self.task, json.loads(line)))


def _label_image(label_map: np.ndarray, palette: Sequence[drawing.Color]) -> Image.Image:
    """Class indices as pixel values: with colours for the eye up to 256 classes, beyond as 16-bit grey."""
    image = Image.fromarray(label_map)
    if label_map.dtype == np.uint8:
        # Setting a palette turns the grey picture into an indexed one without touching its values.
        colors = [drawing.class_color(palette, label) for label in range(256)]
        image.putpalette([channel for color in colors for channel in color])
    return image


def _write_image(path: Path, image: Image.Image) -> None:
    with replacing(path) as unfinished:
        lossy = path.suffix in _LOSSY
        image.save(unfinished, 'JPEG' if lossy else 'PNG', **(dict(quality=92) if lossy else dict(compress_level=1)))
