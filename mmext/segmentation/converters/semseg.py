"""PSPNet and PSANet weights of hszhao/semseg, in the layout of mmseg's `ResNetV1c`, `PSPHead`, `FCNHead` and our head.

Understands whole networks (`layer0.0.weight`, ..., with `ppm` or `psa`) and the ImageNet weights of their ResNets,
whose stem is three 3x3 convolutions of 64, 64 and 128 channels. Everything is renaming; the operator `lib.psa` has no
weights.

What the target must be, so that the outputs agree (the bases `pspnet_r101-d8_semseg.py` and `psanet_r101-d8.py`):

- `ResNetV1c(stem_channels=128, contract_dilation=False)`: all blocks of stages 3 and 4 are dilated by 2 and 4, while
  mmseg's customary settings halve the dilation of each stage's first block.
- `PSANetHead`, not upstream's `PSAHead`, see there.
- `align_corners=True` in both heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mmext.common.conv_bn_rules import batch_norm_rules, blocks_of, conv_bn_rules, conv_rules, majority_width
from mmext.common.weight_conversion import ConversionReport, Rule, WeightsError, apply_rules

LAYOUT = 'hszhao/semseg'
# Blocks per stage of the published depths.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STAGES = (1, 2, 3, 4)
EXPANSION = 4
# Convolution and batch norm of the stem: in a whole network, in a ResNet alone, and in mmseg.
STEM = (
    ('layer0.0', 'layer0.1', 'conv1', 'bn1', 'stem.0', 'stem.1'),
    ('layer0.3', 'layer0.4', 'conv2', 'bn2', 'stem.3', 'stem.4'),
    ('layer0.6', 'layer0.7', 'conv3', 'bn3', 'stem.6', 'stem.7'),
)
NO_AUXILIARY = 'The file holds no auxiliary head: set auxiliary_head=None in the config, or it starts from noise.'


@dataclass(frozen=True)
class SemsegSizes:
    """What the shapes follow from: channels of the first stage's bottlenecks, of the stem, and blocks per stage."""

    base: int
    stem: int
    blocks: tuple[int, ...]

    @property
    def depth(self) -> int | None:
        """50, 101 or 152; None for sizes that are not published."""
        published = (self.base, self.stem) == (64, 128)
        return next((depth for depth, blocks in DEPTHS.items() if published and blocks == self.blocks), None)

    def out_channels(self, stage: int) -> int:
        return self.base * 2 ** (stage - 1) * EXPANSION


def convert_semseg(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], ConversionReport]:
    """Turns weights of semseg's PSPNet, PSANet or ImageNet ResNet into mmseg's.

    Args:
        state_dict: Weights without the `module.` prefix of parallel training.

    Returns:
        The new state dict - `backbone.`, `decode_head.` and, if the file has one, `auxiliary_head.`; bare names for a
        ResNet alone - and the report, whose `arch` is `'PSPNet-R101'`, `'R50'` and so on, or starts with `'custom'`.
        The result is only usable if `report.ok`.

    Raises:
        WeightsError: The names belong to another layout.
    """
    network = _network(state_dict)
    sizes = SemsegSizes(
        base=majority_width(state_dict, r'layer1\.\d+\.(conv|bn)[12]\.\w+', 64),
        stem=majority_width(state_dict, r'(layer0\.[67]|conv3|bn3)\.\w+', 128),
        blocks=tuple(blocks_of(state_dict, f'layer{stage}') for stage in STAGES),
    )
    report = ConversionReport(layout=LAYOUT)
    prefix = 'backbone.' if network else ''
    rules = _stem_rules(sizes, state_dict, prefix) + _stage_rules(sizes, state_dict, prefix)
    channels = majority_width(state_dict, r'cls\.[01]\.\w+', 512)
    if network:
        deep = sizes.out_channels(4)
        if network == 'PSPNet':
            rules += _pyramid_rules(deep, state_dict)
        else:
            rules += _attention_rules(deep, channels, state_dict, report)
        rules += _classifier_rules('cls', 'decode_head', 'bottleneck', (channels, 2 * deep, 3, 3), state_dict)
        rules += _auxiliary_rules(sizes, state_dict, report)
    published = sizes.depth and (not network or channels == 512)
    name = f'R{sizes.depth}' if published else f'custom ({sizes}, head {channels})'
    report.arch = f'{network}-{name}' if network and published else name
    return apply_rules(state_dict, rules, report, _why_left_over), report


def _network(state_dict: Mapping[str, Tensor]) -> str:
    """`'PSPNet'`, `'PSANet'`, or `''` for a ResNet alone."""
    names = list(state_dict)
    parts = {name.split('.')[0] for name in names}
    if 'layer0' in parts and parts & {'ppm', 'psa'}:
        return 'PSPNet' if 'ppm' in parts else 'PSANet'
    if {'conv3', 'layer1', 'layer4'} <= parts:
        return ''
    hint = 'give a checkpoint of its PSPNet, PSANet or ImageNet ResNet'
    if 'layer0' in parts:
        hint = 'the network has neither the pyramid (ppm) nor the attention (psa), which no published file lacks'
    elif {'conv1', 'layer1'} <= parts:
        hint = "this is torchvision's ResNet with one 7x7 convolution; the network needs the stem conv1, conv2, conv3"
    elif any(name.startswith('backbone.stem.') for name in names):
        hint = 'these are the names of mmseg already, load the file as it is'
    raise WeightsError(
        f'the {len(names)} tensors ({", ".join(names[:3])}, ...) are not named as by {LAYOUT}. Fix: {hint}.'
    )


def _stem_rules(sizes: SemsegSizes, state_dict: Mapping[str, Tensor], prefix: str) -> list[Rule]:
    whole = bool(prefix)
    widths = (3, sizes.stem // 2, sizes.stem // 2, sizes.stem)
    rules = []
    for index, (conv, norm, conv_alone, norm_alone, new_conv, new_norm) in enumerate(STEM):
        shape = (widths[index + 1], widths[index], 3, 3)
        rules += conv_rules(conv if whole else conv_alone, prefix + new_conv, shape)
        rules += batch_norm_rules(norm if whole else norm_alone, prefix + new_norm, shape[0], state_dict)
    return rules


def _stage_rules(sizes: SemsegSizes, state_dict: Mapping[str, Tensor], prefix: str) -> list[Rule]:
    """Bottlenecks, whose parts have the same names on both sides."""
    rules = []
    before = sizes.stem
    for stage, blocks in zip(STAGES, sizes.blocks, strict=True):
        width, after = sizes.out_channels(stage) // EXPANSION, sizes.out_channels(stage)
        for block in range(blocks):
            name = f'layer{stage}.{block}'
            parts = [
                ('conv1', 'bn1', (width, before, 1, 1)),
                ('conv2', 'bn2', (width, width, 3, 3)),
                ('conv3', 'bn3', (after, width, 1, 1)),
            ]
            if block == 0:
                parts.append(('downsample.0', 'downsample.1', (after, before, 1, 1)))
            for conv, norm, shape in parts:
                rules += conv_rules(f'{name}.{conv}', f'{prefix}{name}.{conv}', shape)
                rules += batch_norm_rules(f'{name}.{norm}', f'{prefix}{name}.{norm}', shape[0], state_dict)
            before = after
    return rules


def _pyramid_rules(deep: int, state_dict: Mapping[str, Tensor]) -> list[Rule]:
    """Pyramid pooling; levels are counted off the file, 4 if it names none."""
    levels = blocks_of(state_dict, 'ppm.features') or 4
    rules = []
    for level in range(levels):
        new = f'decode_head.psp_modules.{level}.1'
        rules += conv_bn_rules(f'ppm.features.{level}', new, (deep // levels, deep, 1, 1), state_dict, first=1)
    return rules


def _attention_rules(
    deep: int, channels: int, state_dict: Mapping[str, Tensor], report: ConversionReport
) -> list[Rule]:
    """Both branches of the attention; the mask's size is read off and noted."""
    mask = majority_width(state_dict, r'psa\.attention(_p)?\.3\.weight', 89**2)
    side = round(mask**0.5)
    shown = f'({side}, {side})' if side**2 == mask else f'two odd sides whose product is {mask}'
    report.notes.append(f'The attention mask has {mask} positions: decode_head=dict(mask_size={shown}) in the config.')
    rules = []
    for branch in ('', '_p'):
        old, new = f'psa.attention{branch}', f'decode_head.attention{branch}'
        reduced = (f'psa.reduce{branch}', f'decode_head.reduce{branch}')
        rules += conv_bn_rules(*reduced, (channels, deep, 1, 1), state_dict)
        rules += conv_bn_rules(old, f'{new}.0', (channels, channels, 1, 1), state_dict)
        rules += conv_rules(f'{old}.3', f'{new}.1', (mask, channels, 1, 1))
    return rules + conv_bn_rules('psa.proj', 'decode_head.proj', (deep, 2 * channels, 1, 1), state_dict)


def _auxiliary_rules(sizes: SemsegSizes, state_dict: Mapping[str, Tensor], report: ConversionReport) -> list[Rule]:
    if not any(name.startswith('aux.') for name in state_dict):
        report.notes.append(NO_AUXILIARY)
        return []
    channels = majority_width(state_dict, r'aux\.[01]\.\w+', 256)
    shape = (channels, sizes.out_channels(3), 3, 3)
    return _classifier_rules('aux', 'auxiliary_head', 'convs.0', shape, state_dict)


def _classifier_rules(old: str, new: str, joint: str, shape: tuple, state_dict: Mapping[str, Tensor]) -> list[Rule]:
    """3x3 convolution with batch norm, then a 1x1 convolution to the classes, which are read off its shape."""
    classes = majority_width(state_dict, rf'{old}\.4\.\w+', 19)
    rules = conv_bn_rules(old, f'{new}.{joint}', shape, state_dict)
    return rules + conv_rules(f'{old}.4', f'{new}.conv_seg', (classes, shape[0], 1, 1), bias=True)


def _why_left_over(name: str) -> str:
    return 'ImageNet classifier' if name.startswith('fc.') else ''
