"""SegFormer (arXiv:2105.15203) weights of the authors and of Hugging Face, in the layout of mmseg.

Understands the backbone alone (ImageNet weights) and the whole segmentation model, under four sets of names: the
authors' (`patch_embed1.proj`), Hugging Face's published ones (`encoder.patch_embeddings.0.proj`), those that newer
transformers versions use in memory (`stages.0.patch_embeddings.proj`) and mmseg's own, which pass through checked.

Glossary: stage n = 1..4 and block b count as in the names; C_n channels of stage n; M channels of the decode head.

Three differences between the models that renaming does not remove:

- mmseg's attention is `nn.MultiheadAttention`, whose projections of query, key and value are one (3C, C) matrix.
- The authors' head joins the four stages coarsest first, mmseg's finest first: the input blocks of the fusing 1x1
  convolution swap places.
- The authors project each stage with a plain linear layer, mmseg with convolution, batch norm and ReLU. The batch norm
  becomes the linear layer's bias (it divides by 1 and adds the bias); the ReLU must be switched off in the config with
  `decode_head=dict(act_cfg=None)`, else the outputs differ.

Layer norms have no stored epsilon: mmseg uses 1e-6 throughout, the authors 1e-5 in the patch embeddings and in the
reduction of keys and values, Hugging Face 1e-5 throughout (`norm_cfg=dict(type='LN', eps=1e-5)` gives its numbers).
A token of variance v changes by about 1e-5 / v of its size, which is far below the noise of training.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmext.common.weight_conversion import ConversionReport, Rule, Shape, WeightsError, apply_rules, constant_rule
from mmext.segmentation.converters.mit_layouts import MMSEG, Layout, find_layout
from mmext.segmentation.converters.mit_sizes import STAGES, MitSizes, read_sizes

BATCH_NORM_EPS = 1e-5

HEAD_NOTE = (
    'Set decode_head=dict(act_cfg=None) in the config: this head projects the stages without a ReLU, '
    "mmseg's SegformerHead has one by default and would give other logits."
)


def convert_mit(
    state_dict: Mapping[str, Tensor], arch: str | None = None
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Turns SegFormer weights into those of mmseg's `MixVisionTransformer`, and `SegformerHead` if there is a head.

    Args:
        state_dict: Weights in any of the layouts above, with or without a common prefix.
        arch: `'b0'` to `'b5'`: the result must fit this architecture. None: sizes are read off the shapes, so that
            unpublished depths and widths convert too.

    Returns:
        The new state dict - bare names for a backbone alone, `backbone.` and `decode_head.` for a whole model - and the
        report. The result is only usable if `report.ok`.

    Raises:
        WeightsError: The names belong to none of the layouts, or the architecture is unknown.
    """
    layout, backbone = find_layout(state_dict)
    root = backbone.removesuffix(layout.backbone_prefix)
    sizes = MitSizes.of_arch(arch) if arch else read_sizes(state_dict, layout, backbone)
    report = ConversionReport(layout=layout.name, arch=arch or sizes.arch)
    whole = any(name.startswith(f'{root}decode_head.') for name in state_dict)
    rules = _backbone_rules(sizes, layout, backbone, 'backbone.' if whole else '')
    if whole:
        rules += _head_rules(state_dict, sizes, layout, root)
        if layout is not MMSEG:
            report.notes.append(HEAD_NOTE)
    return apply_rules(state_dict, rules, report, _why_left_over), report


def _to_1x1(weight: Tensor) -> Tensor:
    """Weight of a linear layer (out, in) -> weight of the 1x1 convolution that does the same, (out, in, 1, 1)."""
    return weight[:, :, None, None]


def _stack(*parts: Tensor) -> Tensor:
    """Query, then key, then value, stacked along the outputs; also for the authors' query and joint key-value."""
    return torch.cat(parts)


def _reverse_stages(weight: Tensor) -> Tensor:
    """Fusing convolution (M, 4M, 1, 1): input blocks from stage order 4, 3, 2, 1 to 1, 2, 3, 4."""
    return torch.cat(weight.chunk(len(STAGES), dim=1)[::-1], dim=1)


def _backbone_rules(sizes: MitSizes, layout: Layout, source: str, target: str) -> list[Rule]:
    """One rule per tensor of `MixVisionTransformer`; `source` and `target` are the prefixes of the names."""
    rules = []
    channels = sizes.in_channels
    for index, stage in enumerate(STAGES):
        dim, patch = sizes.dims[index], sizes.patch_sizes[index]
        names = _Names(layout, stage, source, target)
        rules += names.pair('embed', (dim, channels, patch, patch))
        rules += names.pair('embed_norm', (dim,))
        for block in range(sizes.depths[index]):
            rules += _block_rules(_Names(layout, stage, source, target, block), sizes, index)
        rules += names.pair('stage_norm', (dim,))
        channels = dim
    return rules


@dataclass(frozen=True)
class _Names:
    """Names of the parts of one stage, or of one of its blocks, on both sides; makes the rules between them."""

    layout: Layout
    stage: int
    source_prefix: str
    target_prefix: str
    block: int = 0

    def source(self, part: str) -> str:
        return self.source_prefix + self.layout.name_of(part, self.stage, self.block)

    def target(self, part: str) -> str:
        return self.target_prefix + MMSEG.name_of(part, self.stage, self.block)

    def pair(self, part: str, weight: Shape) -> list[Rule]:
        """Weight and bias, renamed only."""
        old, new = self.source(part), self.target(part)
        return [
            Rule(f'{new}.weight', {f'{old}.weight': weight}),
            Rule(f'{new}.bias', {f'{old}.bias': weight[:1]}),
        ]

    def linear(self, part: str, weight: Shape) -> list[Rule]:
        """A linear layer that is a 1x1 convolution in mmseg."""
        old, new = self.source(part), self.target(part)
        if self.layout is MMSEG:
            return self.pair(part, (*weight, 1, 1))
        return [
            Rule(f'{new}.weight', {f'{old}.weight': weight}, _to_1x1, 'linear to 1x1 convolution'),
            Rule(f'{new}.bias', {f'{old}.bias': weight[:1]}),
        ]


def _block_rules(names: _Names, sizes: MitSizes, index: int) -> list[Rule]:
    """One transformer block of the stage with this index."""
    dim, ratio = sizes.dims[index], sizes.sr_ratios[index]
    hidden = dim * sizes.mlp_ratios[index]
    rules = names.pair('norm1', (dim,)) + _in_proj_rules(names, dim)
    rules += names.pair('proj', (dim, dim))
    if ratio > 1:
        rules += names.pair('sr', (dim, dim, ratio, ratio)) + names.pair('sr_norm', (dim,))
    rules += names.pair('norm2', (dim,)) + names.linear('fc1', (hidden, dim))
    return rules + names.pair('dwconv', (hidden, 1, 3, 3)) + names.linear('fc2', (dim, hidden))


def _in_proj_rules(names: _Names, dim: int) -> list[Rule]:
    """Projections of query, key and value -> `in_proj_weight` (3C, C) and `in_proj_bias` (3C,)."""
    target = names.target('attention')
    if names.layout is MMSEG:
        joint = names.source('attention')
        return [
            Rule(f'{target}.in_proj_weight', {f'{joint}.in_proj_weight': (3 * dim, dim)}),
            Rule(f'{target}.in_proj_bias', {f'{joint}.in_proj_bias': (3 * dim,)}),
        ]
    parts = {names.source(part): rows * dim for part, rows in names.layout.in_proj.items()}
    note = 'concatenate ' + ', '.join(names.layout.in_proj)
    return [
        Rule(f'{target}.in_proj_weight', {f'{name}.weight': (rows, dim) for name, rows in parts.items()}, _stack, note),
        Rule(f'{target}.in_proj_bias', {f'{name}.bias': (rows,) for name, rows in parts.items()}, _stack, note),
    ]


def _head_rules(state_dict: Mapping[str, Tensor], sizes: MitSizes, layout: Layout, root: str) -> list[Rule]:
    """One rule per tensor of `SegformerHead`; channels and classes are read off its last layers."""
    names = _Names(layout, 1, root, '')
    fuse, predict = names.source('fuse'), names.source('predict')
    shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    classes = shapes.get(f'{predict}.weight') or shapes.get(f'{predict}.bias')
    widths = shapes.get(f'{names.source("fuse_norm")}.weight') or shapes.get(f'{fuse}.weight')
    if not classes or not widths:
        raise WeightsError(
            f'the decode head lacks {predict} or {fuse} and its norm, so its size is unknown. '
            'Fix: fetch the file again, or remove the tensors of decode_head to convert the backbone alone.'
        )
    (classes, *_), (width, *_) = classes, widths
    rules = []
    for index, stage in enumerate(STAGES):
        rules += _projection_rules(_Names(layout, stage, root, ''), width, sizes.dims[index])
    fused = (width, len(STAGES) * width, 1, 1)
    target = f'{names.target("fuse")}.weight'
    if layout is MMSEG:
        rules.append(Rule(target, {f'{fuse}.weight': fused}))
    else:
        rules.append(Rule(target, {f'{fuse}.weight': fused}, _reverse_stages, 'input blocks to stage order 1, 2, 3, 4'))
    rules += _batch_norm_rules(names, 'fuse_norm', width, state_dict)
    return rules + names.pair('predict', (classes, width, 1, 1))


def _projection_rules(names: _Names, width: int, dim: int) -> list[Rule]:
    """One stage's projection (M, C_n): a linear layer with bias there, convolution and batch norm in mmseg."""
    convolution, norm = f'{names.target("project")}.weight', names.target('project_norm')
    old = names.source('project')
    if names.layout is MMSEG:
        return [
            Rule(convolution, {f'{old}.weight': (width, dim, 1, 1)}),
            *_batch_norm_rules(names, 'project_norm', width),
        ]
    return [
        Rule(convolution, {f'{old}.weight': (width, dim)}, _to_1x1, 'linear to 1x1 convolution'),
        constant_rule(f'{norm}.weight', (width,), 1.0, 'batch norm that only adds the bias'),
        Rule(f'{norm}.bias', {f'{old}.bias': (width,)}, note='bias of the linear layer as bias of the batch norm'),
        constant_rule(f'{norm}.running_mean', (width,), 0.0, 'batch norm that only adds the bias'),
        constant_rule(f'{norm}.running_var', (width,), 1.0 - BATCH_NORM_EPS, f'plus epsilon {BATCH_NORM_EPS}: 1'),
        constant_rule(f'{norm}.num_batches_tracked', (), 0, 'counter of training steps', torch.int64),
    ]


def _batch_norm_rules(
    names: _Names, part: str, width: int, state_dict: Mapping[str, Tensor] | None = None
) -> list[Rule]:
    """A batch norm that both sides have; its counter of training steps is optional in old checkpoints."""
    old, new = names.source(part), names.target(part)
    rules = names.pair(part, (width,))
    rules += [Rule(f'{new}.{name}', {f'{old}.{name}': (width,)}) for name in ('running_mean', 'running_var')]
    counter = f'{old}.num_batches_tracked'
    if state_dict is not None and counter not in state_dict:
        return [*rules, constant_rule(f'{new}.num_batches_tracked', (), 0, 'counter of training steps', torch.int64)]
    return [*rules, Rule(f'{new}.num_batches_tracked', {counter: ()})]


def _why_left_over(name: str) -> str:
    if 'conv_seg' in name:
        return "inherited by the authors' head, never used in its forward pass"
    if name.startswith(('head.', 'classifier.')):
        return 'ImageNet classifier'
    if name.startswith('auxiliary_head.'):
        return 'auxiliary head, used in training only'
    return ''
