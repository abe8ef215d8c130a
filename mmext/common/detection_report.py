"""The scores of object detection as values for loggers, as JSON and as tables."""

import io
from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from mmext.common.average_precision import MODES
from mmext.common.confusion_scores import class_keys, mean_where_defined
from mmext.common.detection_scores import ALL, DetectionScores, SourceScores

# How the two ways with difficult objects end the names of AP.
DIFFICULT = {'ap': '', 'ap_with_difficult': '_with_difficult'}


def defined(share: float) -> float | None:
    """None where undefined: JSON has no NaN."""
    return None if np.isnan(share) else float(share)


def score_values(scores: DetectionScores) -> dict[str, float | None]:
    """Everything that loggers and ``save_best`` take, by name: shares in 0..1, None where undefined.

    - ``mAP``: AP at the first IoU in the mode of the settings, mean over the classes with an object, difficult objects
      neither found nor missed, all sources. ``AP.<class>``: the same of each class. ``mAP.<source>``: of each source.
    - ``mAP<IoU in percent>_<mode>``, followed by ``_with_difficult`` where difficult objects count as any other, and by
      ``.<source>``: every IoU, both modes, both ways, all sources and each.
    - ``precision_micro``, ``recall_micro``, ``F1_micro``: above ``score_thr`` at the first IoU, all classes' counts
      together; ``..._macro``: means over the classes.
    - ``mean_matched_iou``, ``matched_class_miou``, ``matched_accuracy`` and ``COCO_AP``, ``COCO_AP50``, ``COCO_AP75``,
      ``COCO_AR100`` as `DetectionScores` tells.

    Raises:
        ValueError: two classes or sources would have one name.
    """
    mode = scores.settings.mode
    suffixes = dict(zip(scores.sources, ['', *class_keys('', list(scores.sources)[1:])], strict=True))
    values = {f'mAP{suffixes[name]}': mean_where_defined(part.ap[mode][0]) for name, part in scores.sources.items()}
    for name, part in scores.sources.items():
        for index, iou_thr in enumerate(scores.settings.iou_thrs):
            for field, ending in DIFFICULT.items():
                for each in MODES:
                    key = f'mAP{percent_name(iou_thr)}_{each}{ending}{suffixes[name]}'
                    values[key] = mean_where_defined(getattr(part, field)[each][index])
    whole = scores.sources[ALL]
    values |= {f'{name}_micro': value for name, value in whole.micro().items()}
    values |= {f'{name}_macro': value for name, value in whole.macro().items()}
    values |= scores.matched | {f'COCO_{name}': value for name, value in scores.coco.items()}
    values |= dict(zip(class_keys('AP', scores.classes), whole.ap[mode][0], strict=True))
    return {name: defined(value) for name, value in values.items()}


def percent_name(iou_thr: float) -> str:
    """50 for 0.5, 52.5 for 0.525."""
    return f'{round(100 * iou_thr, 6):g}'


def score_report(scores: DetectionScores) -> dict:
    """All scores with the settings, source by source and class by class, ready for JSON."""
    settings = scores.settings
    return {
        'settings': {
            'iou_thrs': list(settings.iou_thrs),
            'mode': settings.mode,
            'score_thr': settings.score_thr,
            'min_score': settings.min_score if np.isfinite(settings.min_score) else None,
            'legacy_plus_one': settings.legacy_plus_one,
        },
        'values': score_values(scores),
        'sources': {name: _part_report(scores, part) for name, part in scores.sources.items()},
    }


def _part_report(scores: DetectionScores, part: SourceScores) -> dict:
    """By class: counts, AP in every way at every IoU, and what stands at the score threshold."""
    at_threshold = part.at_threshold()
    report = {}
    for index, name in enumerate(scores.classes):
        report[name] = {
            field: int(getattr(part, field)[index]) for field in ('images', 'objects', 'difficult', 'detections')
        }
        report[name] |= {key: defined(values[index]) for key, values in at_threshold.items()}
        report[name] |= {
            f'AP{percent_name(iou_thr)}_{mode}{ending}': defined(getattr(part, field)[mode][row, index])
            for row, iou_thr in enumerate(scores.settings.iou_thrs)
            for mode in MODES
            for field, ending in DIFFICULT.items()
        }
    return report


def class_table(scores: DetectionScores) -> str:
    """One line a class over all sources, at the first IoU, and a last one with sums and means."""
    settings, part = scores.settings, scores.sources[ALL]
    wide = ', boxes x2 - x1 + 1 wide' if settings.legacy_plus_one else ''
    what = f'IoU >= {settings.iou_thrs[0]:g}{wide}; precision, recall and F1 of scores > {settings.score_thr:g}'
    table = Table(title=what)
    table.add_column('class')
    counts = {
        'images': part.images,
        'objects': part.objects,
        'difficult': part.difficult,
        'detections': part.detections,
    }
    shares = _ap_columns(part) | part.at_threshold()
    for name in (*counts, *shares):
        table.add_column(name, justify='right')
    for index, name in enumerate(scores.classes):
        row = [str(values[index]) for values in counts.values()]
        table.add_row(name, *row, *(_share(values[index]) for values in shares.values()))
    table.add_section()
    sums = ['', *(str(values.sum()) for values in list(counts.values())[1:])]
    table.add_row('mean', *sums, *(_share(mean_where_defined(values)) for values in shares.values()))
    table.add_row('all boxes', *sums, *[''] * 3, *(_share(value) for value in part.micro().values()))
    return _text(table)


def source_table(scores: DetectionScores) -> str:
    """One line a source at each IoU: objects and mAP in every way."""
    table = Table(title='mAP by source')
    rows = []
    for name, part in scores.sources.items():
        for index, iou_thr in enumerate(scores.settings.iou_thrs):
            means = {key: mean_where_defined(values) for key, values in _ap_columns(part, index).items()}
            rows.append((name, f'{iou_thr:g}', str(part.objects.sum()), str(part.difficult.sum()), means))
    for name in ('source', 'IoU', 'objects', 'difficult', *rows[0][-1]):
        table.add_column(name, justify='left' if name == 'source' else 'right')
    for *cells, means in rows:
        table.add_row(*cells, *(_share(value) for value in means.values()))
    return _text(table)


def summary_table(values: Mapping[str, float | None]) -> str:
    """The single numbers, without those that the other tables show."""
    table = Table('score', 'value')
    for name, value in values.items():
        if name == 'mAP' or name.startswith(('mean_matched', 'matched_', 'COCO_')):
            table.add_row(name, _share(float('nan') if value is None else value))
    return _text(table)


def score_tables(scores: DetectionScores) -> str:
    """All three tables."""
    return '\n'.join([class_table(scores), source_table(scores), summary_table(score_values(scores))])


def _ap_columns(part: SourceScores, index: int = 0) -> dict[str, np.ndarray]:
    return {
        'AP 11 points': part.ap['11points'][index],
        'AP area': part.ap['area'][index],
        'AP area, difficult too': part.ap_with_difficult['area'][index],
    }


def _share(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.3f}'


def _text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(table)
    return console.file.getvalue()
