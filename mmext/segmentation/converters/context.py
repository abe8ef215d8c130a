"""Weights of other PSPNet, ASPP and OCR decoders, in the layout of `ContextHead`.

Understands mmseg's `PSPHead`, `ASPPHead` and `OCRHead` (with the auxiliary `FCNHead` of the same checkpoint), PSPNet of
hszhao/semseg, and the two published layouts of OCR: openseg.pytorch and HRNet-Semantic-Segmentation. The tables are in
`context_layouts`.

    head = MODELS.build(cfg.model.decode_head)
    weights, report = convert_context_head(read_state_dict('theirs.pth'), head.state_dict())
    head.load_state_dict(weights)

Outputs are the same to rounding. What the config of `head` has to say for that:

- PSPNet of semseg: `align_corners=True`, `channels=512`, and `channels=<features> // 4` of the `PyramidPooling`.
- mmseg's ASPPHead: `context=dict(type='AtrousPyramid', rates=<its dilations>, image_pooling=True)`.
- OCR of HRNet: `auxiliary=dict(kernel_size=1, channels=<features>)`, because its classifier is a 1x1 convolution on the
  features themselves; that of openseg is a 3x3 convolution of 512 channels on layer3.

OCR's authors give their convolutions a bias in front of the batch norm, ours have none: the bias is subtracted from the
running mean. In training the batch norm takes it away in either case.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmext.common.weight_conversion import ConversionReport, Rule, WeightsError, apply_rules, constant_rule
from mmext.segmentation.converters.context_layouts import LAYOUTS, Layout

TENSOR = re.compile(r'(?P<module>.+?)(\.(?P<kind>conv|bn))?\.(?P<tensor>[a-z_]+)')


def convert_context_head(
    state_dict: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Turns the decoder's weights into those of a `ContextHead`.

    Args:
        state_dict: Weights in one of the layouts above: of the decoder, or of a whole model that holds it, with or
            without a common prefix.
        target: ``state_dict()`` of the head that is to be filled; it says which tensors of which shapes are needed,
            the values do not matter.

    Returns:
        The head's new state dict and the report, in which the tensors of the backbone are left over. Only usable if
        `report.ok`.

    Raises:
        WeightsError: The names belong to none of the layouts, or to another kind of decoder than `target`.
    """
    layout, root = find_layout(state_dict)
    report = ConversionReport(layout=layout.name, arch='ContextHead')
    rules = [_rule(name, tensor, layout, root, state_dict) for name, tensor in target.items()]

    def reason(name: str) -> str:
        return '' if name.startswith(root) else 'outside the decoder'

    return apply_rules(state_dict, rules, report, reason), report


def find_layout(state_dict: Mapping[str, Tensor]) -> tuple[Layout, str]:
    """The layout that the names follow, and what stands in front of them."""
    for layout in LAYOUTS:
        for name in state_dict:
            if name == layout.marker or name.endswith(f'.{layout.marker}'):
                return layout, name.removesuffix(layout.marker)
    known = ', '.join(f'{layout.marker} ({layout.name})' for layout in LAYOUTS)
    raise WeightsError(
        f'none of the {len(state_dict)} tensors is named as in a known decoder. Looked for {known}. '
        'Fix: convert the state dict itself, not the checkpoint around it.'
    )


def _rule(name: str, tensor: Tensor, layout: Layout, root: str, state_dict: Mapping[str, Tensor]) -> Rule:
    """How one tensor of the head comes about: renamed, with a bias folded in, or a counter set to 0."""
    parts = TENSOR.fullmatch(name)
    found = layout.find(parts['module'], root) if parts else None
    if found is None:
        raise WeightsError(
            f'{layout.name} has no counterpart of {name!r}. Fix: give the head the context of that decoder '
            f'({layout.context}).'
        )
    shape = tuple(tensor.shape)
    source = f'{found.norm if parts["kind"] == "bn" else found.conv}.{parts["tensor"]}'
    if parts['tensor'] == 'running_mean' and f'{found.conv}.bias' in state_dict:
        sources = {source: shape, f'{found.conv}.bias': shape}
        return Rule(name, sources, torch.sub, 'minus the bias of the convolution')
    if parts['tensor'] == 'num_batches_tracked' and source not in state_dict:
        return constant_rule(name, (), 0, 'counter of training steps', torch.int64)
    return Rule(name, {source: shape})
