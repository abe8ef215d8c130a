"""The ResNet out of a Mask R-CNN of torchvision or mmdet, named as by mmdet's `ResNet`.

`layer4` comes along: it is the last stage of a backbone with a feature pyramid, and the shared head of the regions in
a model on the stride-16 map, whose tensors mmdet names `layer4.*` too. One file so fills both. Everything is renaming.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mmext.common.conv_bn_rules import COUNTER, batch_norm_rules, blocks_of, conv_rules, majority_width
from mmext.common.weight_conversion import ConversionReport, Rule, WeightsError, apply_rules

TORCHVISION, MMDET = 'torchvision', 'mmdet'
# Depth of the published networks by blocks per stage, without and with bottlenecks.
DEPTHS = {
    False: {(2, 2, 2, 2): 18, (3, 4, 6, 3): 34},
    True: {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152},
}
STAGES = ('layer1', 'layer2', 'layer3', 'layer4')
BASE = 64  # channels of the stem and of the first stage
EPS = 1e-5  # of mmdet's batch norm
SHARED_HEAD = 'roi_head.shared_head.'
RGB = (
    'data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True), '
    "style='pytorch'"
)
CAFFE = (
    'data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False), '
    "style='caffe' in backbone and shared head"
)
# Why a tensor outside the ResNet is not needed, by the first part of the name that fits.
REASONS = (
    (r'backbone\.fpn\.|neck\.', 'feature pyramid'),
    (r'rpn(_head)?\.', 'region proposal network'),
    (r'roi_heads?\.mask_', 'mask head'),
    (r'roi_heads?\.(box|bbox)_', 'box head'),
)


@dataclass(frozen=True)
class ResNetSizes:
    """What the shapes follow from: blocks per stage, with a bottleneck or not, channels of the first stage and stem."""

    blocks: tuple[int, ...]
    bottleneck: bool
    base: int = BASE
    stem: int = BASE

    @property
    def depth(self) -> int | None:
        """18 to 152; None for sizes that are not published."""
        published = (self.base, self.stem) == (BASE, BASE)
        return DEPTHS[self.bottleneck].get(self.blocks) if published else None

    @property
    def expansion(self) -> int:
        return 4 if self.bottleneck else 1

    def convs(self, stage: int, block: int) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Convolutions of a block, counted from 0: name -> name of the batch norm behind it, shape of the weight."""
        width = self.base * 2**stage
        after = width * self.expansion
        before = after if block else (after // 2 if stage else self.stem)
        if self.bottleneck:
            shapes = [(width, before, 1, 1), (width, width, 3, 3), (after, width, 1, 1)]
        else:
            shapes = [(width, before, 3, 3), (width, width, 3, 3)]
        convs = {f'conv{number}': (f'bn{number}', shape) for number, shape in enumerate(shapes, 1)}
        if block == 0 and (stage or before != after):
            convs['downsample.0'] = ('downsample.1', (after, before, 1, 1))
        return convs


def convert_mask_rcnn(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], ConversionReport]:
    """Takes the ResNet out of a Mask R-CNN, or of a Faster R-CNN.

    Args:
        state_dict: Of torchvision's ``maskrcnn_resnet50_fpn`` or ``_v2``, or of mmdet's model with a feature pyramid or
            on the stride-16 map.

    Returns:
        The ResNet's state dict with bare names (``conv1.weight``, ``layer4.2.bn3.running_var``), and the report, whose
        `arch` is `'R50'` and so on, or starts with `'custom'`. The result is only usable if `report.ok`.

    Raises:
        WeightsError: The names belong to another layout, or the backbone is no plain ResNet.
    """
    layout = _layout(state_dict)
    prefix = 'backbone.body.' if layout == TORCHVISION else 'backbone.'
    places = {name.removeprefix(prefix): name for name in state_dict if name.startswith(prefix)}
    places |= {name.removeprefix(SHARED_HEAD): name for name in state_dict if name.startswith(SHARED_HEAD)}
    body = {bare: state_dict[name] for bare, name in places.items()}
    sizes = _sizes(body)
    home = {stage: SHARED_HEAD if f'{SHARED_HEAD}{stage}.0.conv1.weight' in state_dict else prefix for stage in STAGES}
    rules = _rules(sizes, state_dict, prefix, home)
    _check_plain(places, rules)
    report = ConversionReport(layout=layout, arch=f'R{sizes.depth}' if sizes.depth else f'custom ({sizes})')
    report.notes = _notes(layout, state_dict, body)
    return apply_rules(state_dict, rules, report, _why_left_over), report


def _layout(state_dict: Mapping[str, Tensor]) -> str:
    names = list(state_dict)
    if any(name.startswith('backbone.body.') for name in names):
        return TORCHVISION
    detector = any(name.startswith(('rpn_head.', 'roi_head.')) for name in names)
    if detector and any(name.startswith('backbone.') for name in names):
        return MMDET
    hint = (
        "give the checkpoint of torchvision's Mask R-CNN (backbone.body.conv1.weight, ...) or mmdet's "
        '(backbone.conv1.weight, ..., roi_head...)'
    )
    if any(name.startswith('backbone.bottom_up.') for name in names):
        hint = "this is detectron2's layout; " + hint
    elif {'conv1.weight', 'layer1.0.conv1.weight'} <= set(names):
        hint = 'this is a ResNet alone, load the file as it is'
    raise WeightsError(
        f'the {len(names)} tensors ({", ".join(names[:3])}, ...) are not named as by a Mask R-CNN of {TORCHVISION} or '
        f'{MMDET}. Fix: {hint}.'
    )


def _sizes(body: Mapping[str, Tensor]) -> ResNetSizes:
    blocks = tuple(blocks_of(body, stage) for stage in STAGES)
    if 0 in blocks:
        # Also where it is another network: it has no stage at all.
        raise WeightsError(
            f'the backbone has no {STAGES[blocks.index(0)]} ({", ".join(list(body)[:3])}, ...). '
            f'Fix: give a Mask R-CNN with a whole ResNet.'
        )
    inner = [t.shape for name, t in body.items() if re.fullmatch(r'layer\d\.\d+\.conv2\.weight', name) and t.ndim == 4]
    if sum(shape[0] != shape[1] for shape in inner) > len(inner) / 2:
        raise WeightsError(
            'the backbone has grouped convolutions (ResNeXt). Fix: give a Mask R-CNN with a plain ResNet.'
        )
    return ResNetSizes(
        blocks,
        bottleneck=any(re.fullmatch(r'layer\d\.\d+\.conv3\.weight', name) for name in body),
        base=majority_width(body, r'layer1\.\d+\.(conv|bn)[12]\.\w+', BASE),
        stem=majority_width(body, r'(conv1|bn1)\.\w+', BASE),
    )


def _rules(sizes: ResNetSizes, state_dict: Mapping[str, Tensor], prefix: str, home: Mapping[str, str]) -> list[Rule]:
    rules = conv_rules(f'{prefix}conv1', 'conv1', (sizes.stem, 3, 7, 7))
    rules += batch_norm_rules(f'{prefix}bn1', 'bn1', sizes.stem, state_dict)
    for stage, (name, blocks) in enumerate(zip(STAGES, sizes.blocks, strict=True)):
        for block in range(blocks):
            new = f'{name}.{block}'
            for conv, (norm, shape) in sizes.convs(stage, block).items():
                rules += conv_rules(f'{home[name]}{new}.{conv}', f'{new}.{conv}', shape)
                rules += batch_norm_rules(f'{home[name]}{new}.{norm}', f'{new}.{norm}', shape[0], state_dict)
    return rules


def _check_plain(places: Mapping[str, str], rules: list[Rule]) -> None:
    """Refuses networks that compute something else than a plain ResNet: the weights would not fit the outputs."""
    known = {source for rule in rules for source in rule.sources}
    strange = [name for bare, name in places.items() if name not in known and not bare.startswith('fc.')]
    if not strange:
        return
    kind = 'it has parts that'
    if any(name.startswith('backbone.stem.') for name in strange):
        kind = 'it has a stem of three convolutions (ResNetV1c, V1d) that'
    elif any('conv_offset' in name for name in strange):
        kind = 'it has deformable convolutions that'
    elif any('.gn' in name for name in strange):
        kind = 'it has group norms that'
    raise WeightsError(
        f'the backbone is no plain ResNet: {kind} it lacks ({", ".join(strange[:3])}; {len(strange)} tensors). '
        f'Fix: give a Mask R-CNN with a plain ResNet.'
    )


def _notes(layout: str, state_dict: Mapping[str, Tensor], body: Mapping[str, Tensor]) -> list[str]:
    if layout == TORCHVISION:
        notes = [f"Inputs must be as torchvision's: {RGB}."]
    else:
        notes = [
            'A state dict does not tell how its inputs were normalised and where a bottleneck has its stride. If the '
            f"config that it was trained with says style='caffe': {CAFFE}; else {RGB}."
        ]
    if not any(name.split('.')[-1] == COUNTER for name in body):
        notes.append(_frozen_norm_note(body))
    if not any(re.match(r'roi_heads?\.mask_', name) for name in state_dict):
        notes.append('The file has no mask head: this is a Faster R-CNN. Its backbone is converted all the same.')
    return notes


def _frozen_norm_note(body: Mapping[str, Tensor]) -> str:
    """What another epsilon changes: torchvision runs its published COCO file of the first version with 0."""
    variances = [tensor.float() for name, tensor in body.items() if name.endswith('.running_var')]
    count = sum(variance.numel() for variance in variances)
    lowest = min((float(variance.min()) for variance in variances if variance.numel()), default=0.0)
    factors = [(variance / (variance + EPS)).sqrt() for variance in variances]
    changed = sum(int((factor < 0.99).sum()) for factor in factors)
    return (
        f'Batch norm was frozen and has no counters ({COUNTER}): set to 0. torchvision applies its published '
        f'maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth with eps=0, mmdet uses {EPS:g}: that makes {changed} of {count} '
        f'channels smaller by more than 1 % (lowest variance {lowest:.3g}). '
        "For the same outputs: norm_cfg=dict(type='BN', eps=0)."
    )


def _why_left_over(name: str) -> str:
    return next((reason for pattern, reason in REASONS if re.match(pattern, name)), '')
