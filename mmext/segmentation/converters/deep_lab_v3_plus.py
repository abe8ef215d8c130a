"""DeepLabV3+ MobileNetV2 weights of VainF/DeepLabV3Plus-Pytorch, in the layout of our backbone and head.

The target is `FixedPaddingMobileNetV2` with `DeepLabV3PlusHead` and `align_corners=False`, the base
`deeplabv3plus_mobilenet-v2.py`. Everything is renaming: the file splits torchvision's `features` in two
(`backbone.low_level_features.0` to `.3`, `backbone.high_level_features.4` to `.17`).

The output stride is in no tensor. Published files carry it in their name (`..._os16.pth`): `output_stride=16` of the
backbone goes with dilations 6, 12, 18 of the head, 8 with 12, 24, 36.
"""

from collections.abc import Mapping

from torch import Tensor

from mmext.common.conv_bn_rules import batch_norm_rules, conv_bn_rules, conv_rules, majority_width
from mmext.common.weight_conversion import ConversionReport, Rule, WeightsError, apply_rules
from mmext.segmentation.models.backbones.fixed_padding_mobile_net_v2 import LOW_LEVEL, STEM, block_settings

LAYOUT = 'VainF/DeepLabV3Plus-Pytorch'
ARCH = 'DeepLabV3+ MobileNetV2'
LOW_CHANNELS, HIGH_CHANNELS = 24, 320
REDUCED, CHANNELS, BRANCHES = 48, 256, 4
STRIDE_NOTE = (
    'The output stride is not in the file. Its name says os16 or os8: set output_stride of the backbone, and '
    'dilations (6, 12, 18) or (12, 24, 36) of the head.'
)


def convert_deep_lab_v3_plus(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], ConversionReport]:
    """Turns the weights of VainF's `deeplabv3plus_mobilenet`, for any number of classes.

    Args:
        state_dict: Weights without the `module.` prefix of parallel training.

    Returns:
        The new state dict with `backbone.` and `decode_head.`, and the report. The result is only usable if
        `report.ok`.

    Raises:
        WeightsError: The names belong to another layout, or to another network of the same repository.
    """
    _check(state_dict)
    report = ConversionReport(layout=LAYOUT, arch=ARCH, notes=[STRIDE_NOTE])
    rules = conv_rules(_source(0, '0'), 'backbone.features.0.0', (STEM, 3, 3, 3))
    rules += batch_norm_rules(_source(0, '1'), 'backbone.features.0.1', STEM, state_dict)
    channels = STEM
    # Strides and dilations change no shape, so that any output stride gives the same rules.
    for index, (expansion, width, _, _) in enumerate(block_settings(output_stride=16), 1):
        rules += _block_rules(index, channels, expansion, width, state_dict)
        channels = width
    return apply_rules(state_dict, rules + _head_rules(state_dict), report), report


def _check(state_dict: Mapping[str, Tensor]) -> None:
    names = list(state_dict)
    if any(name.startswith('backbone.low_level_features.') for name in names):
        if any(name.startswith('classifier.aspp.') for name in names) and not any('.body.' in name for name in names):
            return
        hint = 'DeepLabV3 and heads with separable convolutions are other networks; give deeplabv3plus_mobilenet'
    elif 'backbone.layer4.0.conv1.weight' in state_dict or any('stage4.' in name for name in names):
        hint = 'the backbone is a ResNet or HRNet; only deeplabv3plus_mobilenet is understood'
    elif any(name.startswith('backbone.features.') for name in names):
        hint = 'these are the names of this package already, load the file as it is'
    else:
        hint = 'give a checkpoint of its deeplabv3plus_mobilenet'
    raise WeightsError(
        f'the {len(names)} tensors ({", ".join(names[:3])}, ...) are not named as by the DeepLabV3+ MobileNetV2 of '
        f'{LAYOUT}. Fix: {hint}.'
    )


def _source(index: int, part: str) -> str:
    level = 'low_level_features' if index <= LOW_LEVEL else 'high_level_features'
    return f'backbone.{level}.{index}.{part}'


def _block_rules(index: int, channels: int, expansion: int, width: int, state_dict: Mapping[str, Tensor]) -> list[Rule]:
    """Inverted residual: (1x1 expansion,) depth-wise 3x3 and 1x1 projection, each with batch norm."""
    hidden = channels * expansion
    shapes = [] if expansion == 1 else [(hidden, channels, 1, 1)]
    shapes.append((hidden, 1, 3, 3))
    last = len(shapes)
    parts = [(f'conv.{place}.0', f'conv.{place}.1', shape) for place, shape in enumerate(shapes)]
    parts.append((f'conv.{last}', f'conv.{last + 1}', (width, hidden, 1, 1)))
    rules = []
    for conv, norm, shape in parts:
        rules += conv_rules(_source(index, conv), f'backbone.features.{index}.{conv}', shape)
        rules += batch_norm_rules(_source(index, norm), f'backbone.features.{index}.{norm}', shape[0], state_dict)
    return rules


def _head_rules(state_dict: Mapping[str, Tensor]) -> list[Rule]:
    classes = majority_width(state_dict, r'classifier\.classifier\.3\.\w+', 19)
    pyramid, head = 'classifier.aspp.convs', 'decode_head'
    low, fused = (REDUCED, LOW_CHANNELS, 1, 1), (CHANNELS, REDUCED + CHANNELS, 3, 3)
    rules = conv_bn_rules('classifier.project', f'{head}.low_level_project', low, state_dict)
    for branch in range(BRANCHES):
        size = 1 if branch == 0 else 3
        shape = (CHANNELS, HIGH_CHANNELS, size, size)
        rules += conv_bn_rules(f'{pyramid}.{branch}', f'{head}.aspp.{branch}', shape, state_dict)
    pooled, joined = (CHANNELS, HIGH_CHANNELS, 1, 1), (CHANNELS, (BRANCHES + 1) * CHANNELS, 1, 1)
    rules += conv_bn_rules(f'{pyramid}.{BRANCHES}', f'{head}.image_pool.1', pooled, state_dict, first=1)
    rules += conv_bn_rules('classifier.aspp.project', f'{head}.aspp_project', joined, state_dict)
    rules += conv_bn_rules('classifier.classifier', f'{head}.fuse', fused, state_dict)
    return rules + conv_rules('classifier.classifier.3', f'{head}.conv_seg', (classes, CHANNELS, 1, 1), bias=True)
