"""Mistakes in the model's settings that build without an error, or fail only after hours."""

import inspect
from collections.abc import Iterator, Mapping

from mmengine.config import Config

from mmext.common.class_balance import load_class_weight

from .config_facts import (
    batch_size,
    batch_sizes,
    class_names,
    crop_hw,
    model_class,
    parse_name,
    scope_of,
    stages_of,
    type_name,
    walk,
)
from .finding import ERROR, WARNING, Finding

SYNC_NORMS = ('SyncBN', 'MMSyncBN', 'NaiveSyncBN')
# Whether min_kept of a loss or sampler counts pixels of one image or of the batch.
PER_IMAGE = {'OHEMPixelSampler': True, 'OhemBalancedLoss': False, 'OhemCrossEntropy': False}


def sync_bn(cfg: Config) -> Iterator[Finding]:
    """Synchronised batch norm in a training of one process, where it is an ordinary one."""
    name = parse_name(cfg.filename or '')
    if (name and name.processes > 1) or cfg.get('launcher', 'none') != 'none':
        return
    found = [path for path, node in walk(cfg.model, 'model') if type_name(node) in SYNC_NORMS]
    if found:
        yield Finding(
            'sync-bn',
            WARNING,
            f'{found[0]}.type is synchronised batch norm ({len(found)} places), but one process trains: the statistics '
            f'are those of its {batch_size(cfg)} images',
            "use type='BN' (runtime: sync_bn='torch' synchronises it in distributed runs), or start several processes",
        )


def loss_name(cfg: Config) -> Iterator[Finding]:
    """Losses that are logged and not learnt: mmengine adds up what has ``loss`` in its name."""
    for path, node in walk(cfg.model, 'model'):
        name = node.get('loss_name')
        if not isinstance(name, str) or name.startswith('loss_'):
            continue
        lost = 'loss' not in name
        fate = 'never back-propagated' if lost else 'back-propagated only because "loss" stands within'
        yield Finding(
            'loss-name',
            ERROR if lost else WARNING,
            f'{path}.loss_name={name!r} does not start with loss_: {fate}',
            f'{path}.loss_name=loss_{name.replace("loss", "").strip("_") or "main"}',
        )


def class_weight(cfg: Config) -> Iterator[Finding]:
    """Class weights that are not one a class."""
    for path, node, classes in _with_classes(cfg):
        weights = node.get('class_weight')
        if weights is None or isinstance(weights, (int, float)) or classes is None:
            continue
        head = path.rpartition('.')[0].rpartition('.')[2]
        # Two-stage and softmax detectors have one more output, the background.
        background = scope_of(cfg) == 'mmdet' and not node.get('use_sigmoid', False) and 'bbox_head' in head
        try:
            load_class_weight(weights, classes + background)
        except (ValueError, FileNotFoundError, TypeError) as error:
            yield Finding('class-weight', ERROR, f'{path}.class_weight: {error}', 'give one weight a class')


def _with_classes(cfg: Config) -> Iterator[tuple[str, Mapping, int | None]]:
    """Dicts of the model with the ``num_classes`` of the nearest one around them."""
    known: dict[str, int | None] = {}
    for path, node in walk(cfg.model, 'model'):
        above = next((known[part] for part in _parents(path) if part in known), None)
        known[path] = node.get('num_classes', above)
        yield path, node, known[path]


def _parents(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition('.')[0]
        yield path


def min_kept(cfg: Config) -> Iterator[Finding]:
    """OHEM that keeps at least as many pixels as there are: it mines nothing."""
    crop = crop_hw(cfg)
    for path, node in walk(cfg.model, 'model'):
        kind, kept = type_name(node), node.get('min_kept')
        if kind not in PER_IMAGE or crop is None or isinstance(kept, (bool, float)) or not isinstance(kept, int):
            continue
        sizes = batch_sizes(cfg)
        pixels = crop[0] * crop[1] * (1 if PER_IMAGE[kind] else min(sizes))
        if kept >= pixels:
            of = 'an image' if PER_IMAGE[kind] else f'a batch of {min(sizes)}'
            yield Finding(
                'min-kept',
                ERROR,
                f'{path}.min_kept={kept:,} is not below the {pixels:,} pixels of {of} of {crop[0]} x {crop[1]}: every '
                'pixel is kept, nothing is mined',
                f'{path}.min_kept={max(pixels // 16, 1)}, a sixteenth; or a share such as 0.1 where the loss takes one',
            )


def frozen_random(cfg: Config) -> Iterator[Finding]:
    """Parts that stand still with the weights they were drawn with."""
    if cfg.get('load_from') or cfg.get('resume'):
        return
    allowed = ((cfg.get('default_hooks') or {}).get('initialisation') or {}).get('allow_frozen_random') or ()
    pretrained = [path for path, node in walk(cfg.model, 'model') if _is_pretrained(node)]
    reasons: dict[str, list[str]] = {}
    for path, node in walk(cfg.model, 'model'):
        if path.rpartition('.')[2] in ('backbone', 'shared_head'):
            reasons[path] = _freezes_itself(cfg, node)
    for name, why in _frozen_from_outside(cfg):
        reasons.setdefault(f'model.{name}', []).append(why)
    for path, why in reasons.items():
        name = path.removeprefix('model.')
        loaded = any(path == each or path.startswith(f'{each}.') or each.startswith(f'{path}.') for each in pretrained)
        if why and not loaded and name not in allowed:
            yield Finding(
                'frozen-random',
                ERROR,
                f'{path} starts from random weights and is held still: {", ".join(why)}',
                f"give it weights ({path}.init_cfg=dict(type='Pretrained', checkpoint=...) or load_from), or thaw it",
            )


def _is_pretrained(node: Mapping) -> bool:
    settings = node.get('init_cfg')
    settings = settings if isinstance(settings, (list, tuple)) else [settings]
    named = any(isinstance(each, Mapping) and each.get('type') == 'Pretrained' for each in settings)
    return named or bool(node.get('pretrained'))


def _freezes_itself(cfg: Config, node: Mapping) -> list[str]:
    """Settings of a component, or defaults of its class, that keep weights or statistics as they are."""
    kind = model_class(cfg, node)
    parameters = inspect.signature(kind.__init__).parameters if kind else {}
    defaults = {name: parameters[name].default for name in ('frozen_stages', 'norm_eval') if name in parameters}
    values = defaults | {name: node[name] for name in ('frozen_stages', 'norm_eval') if name in node}
    stages, still = values.get('frozen_stages'), values.get('norm_eval')
    has_norm = (node.get('norm_cfg') or {}).get('type', 'BN') not in ('LN', 'GN')
    why = [f'frozen_stages={stages}'] if isinstance(stages, int) and stages >= 0 else []
    return why + (['norm_eval=True'] if still is True and has_norm else [])


def _frozen_from_outside(cfg: Config) -> Iterator[tuple[str, str]]:
    for name in (stages_of(cfg) or [{}])[0].get('freeze') or ():
        yield name, f'train_cfg.stages[0].freeze names {name}'
    custom = ((cfg.get('optim_wrapper') or {}).get('paramwise_cfg') or {}).get('custom_keys') or {}
    for name, settings in custom.items():
        if isinstance(settings, Mapping) and settings.get('lr_mult') == 0 and name in cfg.model:
            yield name, f'paramwise_cfg.custom_keys.{name}.lr_mult=0'


def num_classes(cfg: Config, classes: list[str] | None = None) -> Iterator[Finding]:
    """Heads with another number of classes than the data.

    Args:
        cfg: The config.
        classes: Of the training data; by default as far as the config or its data set's class tells them.
    """
    classes = classes or class_names(cfg)
    if not classes:
        return
    for path, node in walk(cfg.model, 'model'):
        number, part = node.get('num_classes'), path.rpartition('.')[2]
        if not isinstance(number, int) or not ('head' in part or part == 'data_preprocessor') or 'rpn' in part:
            continue
        if number == len(classes) or (number == 1 and len(classes) == 2):  # one output tells two classes apart
            continue
        few = number < len(classes)
        yield Finding(
            'num-classes',
            ERROR if few else WARNING,
            f'{path}.num_classes={number}, the training data has {len(classes)} ({", ".join(classes[:3])}, ...)',
            f'{path}.num_classes={len(classes)}',
        )
