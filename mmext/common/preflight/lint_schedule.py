"""Mistakes in a config's schedule, validation and name."""

from collections.abc import Iterator, Mapping, Sequence

from mmengine.config import Config

from .config_facts import batch_sizes, class_names, crop_hw, parse_name, run_length, scope_of, stages_of, type_name
from .finding import ERROR, NOT_RUN, WARNING, Finding

WARM_UPS = ('LinearLR', 'ConstantLR', 'LinearParamScheduler')
# Falls of the rate to a last value that are finished with `end`.
DECAYS = ('PolyLR', 'CosineAnnealingLR', 'CosineRestartLR', 'OneCycleLR')
# Scores by evaluator; a key may have more behind it where it ends with a dot or underscore.
SEGMENTATION = ('aAcc', 'mIoU', 'mAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall')
METRICS = {
    'SegmentationMetric': (
        *SEGMENTATION,
        *('fwIoU', 'mCatIoU', 'IoU.', 'Acc.', 'Dice.', 'Fscore.', 'Precision.', 'Recall.', 'catIoU.'),
    ),
    'IoUMetric': SEGMENTATION,
    'VOCDetectionMetric': ('mAP', 'AP', 'recall', 'matched', 'precision'),
    'VOCMetric': ('pascal_voc/mAP', 'pascal_voc/AP', 'mAP', 'AP'),
    'CocoMetric': ('coco/bbox_', 'coco/segm_', 'coco/proposal', 'coco/AR@'),
    'Accuracy': ('accuracy/top',),
    'SingleLabelMetric': ('single-label/',),
}


def learning_rate(cfg: Config) -> Iterator[Finding]:
    """A learning rate of zero, or one that is not a positive number."""
    places = [('optim_wrapper.optimizer.lr', ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('lr'))]
    stages = stages_of(cfg) or []
    if stages and all(stage.get('lr') is not None for stage in stages):
        places = []  # the optimiser's own is not used
    places += [(f'train_cfg.stages[{index}].lr', stage.get('lr')) for index, stage in enumerate(stages)]
    for place, rate in places:
        if rate is not None and not (isinstance(rate, (int, float)) and 0 < rate < float('inf')):
            yield Finding('lr', ERROR, f'{place}={rate!r}: nothing is learnt', f'{place}=1e-3, or what the recipe says')


def schedulers(cfg: Config, epoch_length: int | None = None) -> Iterator[Finding]:
    """Schedulers that outlast the run, or never step.

    Args:
        cfg: The config.
        epoch_length: Iterations an epoch; without it, what counts iterations is not compared with epochs.
    """
    length = run_length(cfg)
    if length is None:
        return
    for place, scheduler, total, in_epochs in _scheduled(cfg, *length):
        kind, by_epoch = type_name(scheduler), scheduler.get('by_epoch', True)
        if by_epoch and not in_epochs and not scheduler.get('convert_to_iter_based'):
            yield Finding(
                'scheduler-unit',
                ERROR,
                f'{place} ({kind}) counts epochs, but the run counts iterations: it never steps',
                f'{place}.by_epoch=False with begin and end in iterations, or convert_to_iter_based=True',
            )
            continue
        end, unit = scheduler.get('end'), 'epochs' if by_epoch else 'iterations'
        here = _in_unit(total, in_epochs, by_epoch, epoch_length)
        if end is None or here is None or not isinstance(end, int):
            continue
        if end > here:
            warm = kind in WARM_UPS and scheduler.get('start_factor', scheduler.get('factor', 0)) < 1
            yield Finding(
                'warm-up' if warm else 'schedule-end',
                WARNING,
                f'{place} ({kind}) ends after {end:,} {unit}, the run after {here:,.0f}: '
                + ('the learning rate never reaches its full value' if warm else 'it is cut off before its last value'),
                f'{place}.end={int(here)}, or a longer run',
            )
        elif end < here and kind in DECAYS and place.endswith(f'[{_last(cfg, place)}]'):
            yield Finding(
                'schedule-end',
                WARNING,
                f'{place} ({kind}) ends after {end:,} {unit}, the run after {here:,.0f}: the rest is trained with its '
                f'last value (eta_min={scheduler.get("eta_min", 0)})',
                f'{place}.end={int(here)}, or a shorter run',
            )


def _last(cfg: Config, place: str) -> int:
    stage = place.startswith('train_cfg')
    listed = stages_of(cfg)[int(place.split('[')[1].split(']')[0])] if stage else cfg
    settings = listed.get('param_scheduler')
    return len(settings) - 1 if isinstance(settings, (list, tuple)) else 0


def _scheduled(cfg: Config, total: int, in_epochs: bool) -> Iterator[tuple[str, Mapping, int, bool]]:
    stages = stages_of(cfg)
    parts = [('param_scheduler', cfg.get('param_scheduler'), total)] if stages is None else []
    for index, stage in enumerate(stages or ()):
        parts.append(
            (f'train_cfg.stages[{index}].param_scheduler', stage.get('param_scheduler'), stage.get('epochs', 0))
        )
    for place, settings, length in parts:
        listed = settings if isinstance(settings, Sequence) else [settings] if settings else []
        for index, scheduler in enumerate(listed):
            if isinstance(scheduler, Mapping) and 'type' in scheduler:
                yield f'{place}[{index}]', scheduler, length, in_epochs


def _in_unit(total: int, in_epochs: bool, by_epoch: bool, epoch_length: int | None) -> float | None:
    if in_epochs == by_epoch:
        return total
    if epoch_length is None:
        return None
    return total / epoch_length if by_epoch else total * epoch_length


def validation(cfg: Config) -> Iterator[Finding]:
    """Validations that come too late for the run."""
    length, settings = run_length(cfg), cfg.get('train_cfg') or {}
    if length is None or cfg.get('val_cfg') is None:
        return
    total, in_epochs = length
    unit = 'epochs' if in_epochs else 'iterations'
    interval, begin = settings.get('val_interval', 1 if in_epochs else 1000), settings.get('val_begin', 1)
    if begin > total:
        text = f'train_cfg.val_begin={begin:,}: the run has {total:,} {unit} and is never validated'
        yield Finding('val-interval', ERROR, text, f'train_cfg.val_begin=1 or below {total}')
    elif interval > total:
        yield Finding(
            'val-interval',
            WARNING,
            f'train_cfg.val_interval={interval:,}: the run has {total:,} {unit} and is validated at its end alone',
            f'train_cfg.val_interval={max(total // 10, 1)}',
        )


def save_best(cfg: Config) -> Iterator[Finding]:
    """A score to keep the best checkpoint by that no evaluator gives: the first validation would fail."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    wanted = hook.get('save_best')
    if not wanted or wanted == 'auto' or not cfg.get('val_evaluator'):
        return
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, (list, tuple)) else [cfg.val_evaluator]
    known: list[str] = []
    for evaluator in evaluators:
        kind = type_name(evaluator)
        if kind not in METRICS:
            text = f'default_hooks.checkpoint.save_best={wanted!r}: the scores of {kind} are not known here'
            yield Finding('save-best', NOT_RUN, text, 'look at its first validation')
            return
        known += _scores(cfg, evaluator, kind)
    for key in [wanted] if isinstance(wanted, str) else wanted:
        exact = [score for score in known if not score.endswith(('.', '_', '/'))]
        open_ended = tuple(score for score in known if score.endswith(('.', '_', '/')))
        if key not in exact and not (open_ended and key.startswith(open_ended)):
            yield Finding(
                'save-best',
                ERROR,
                f'default_hooks.checkpoint.save_best={key!r}: no evaluator gives it; known are {", ".join(known[:8])}',
                f'default_hooks.checkpoint.save_best={known[0]}',
            )


def _scores(cfg: Config, evaluator: Mapping, kind: str) -> list[str]:
    """Names of an evaluator's scores, with its prefix in the place of the usual one."""
    names = list(METRICS[kind])
    if kind == 'Accuracy':
        topk = evaluator.get('topk', (1,))
        names = [f'accuracy/top{k}' for k in (topk if isinstance(topk, (list, tuple)) else [topk])]
        names += [f'{name}_' for name in names if evaluator.get('thrs') is not None]
    if kind == 'VOCDetectionMetric':
        names = ['mAP', 'mAP_', 'AP.', 'AP_', *METRICS[kind]]
    if kind == 'IoUMetric' and (classes := class_names(cfg, 'val')):
        names += [f'{score}.{name}' for score in ('IoU', 'Acc') for name in classes]
    if (prefix := evaluator.get('prefix')) is not None:
        names = ['/'.join(filter(None, (prefix, name.partition('/')[2] or name))) for name in names]
    return names


def file_name(cfg: Config) -> Iterator[Finding]:
    """Promises of the file's name that the settings do not keep: batch, processes, length and crop."""
    name = parse_name(cfg.filename or '')
    if name is None:
        return
    first, actual = name.stages[0][0], batch_sizes(cfg)
    wanted = [batch for batch, _ in name.stages]
    if actual[0] != first or (len(wanted) > 1 and actual != wanted):
        yield _unkept('batch', f'{wanted} images an iteration', f'{actual if len(wanted) > 1 else [actual[0]]}')
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    totals = [name.processes * batch for batch in wanted]
    bases = list(base) if isinstance(base, (list, tuple)) else [base]
    if base is not None and bases != totals and bases != [totals[0]]:
        text = f'{name.processes} processes of {wanted} images, {totals} in all'
        yield _unkept('total batch', text, f'auto_scale_lr.base_batch_size={base}')
    length = run_length(cfg)
    planned = sum(each for _, each in name.stages)
    if length and length != (planned, name.by_epoch):
        units = {True: 'epochs', False: 'iterations'}
        yield _unkept('length', f'{planned:,} {units[name.by_epoch]}', f'{length[0]:,} {units[length[1]]}')
    crop = crop_hw(cfg)
    if crop and crop != name.crop_hw and scope_of(cfg) != 'mmengine':
        yield _unkept('crop', f'{name.crop_hw[0]} x {name.crop_hw[1]}', f'{crop[0]} x {crop[1]}')


def _unkept(what: str, promised: str, actual: str) -> Finding:
    text = f'the {what} of the file name is {promised}, that of the settings {actual}'
    return Finding(f'name-{what.replace(" ", "-")}', WARNING, text, 'correct the setting, or rename the config')
