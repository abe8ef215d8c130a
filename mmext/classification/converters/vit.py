"""Vision Transformers (arXiv:2010.11929) of timm, Hugging Face, torchvision and the authors, in mmpretrain's layout.

Understands the backbone alone or with its classifier, and DeiT's distilled kind (arXiv:2012.12877) of timm and Hugging
Face. Names are in `vit_layouts`, sizes in `vit_sizes`; the authors' npz files are read by `npz.read_weights`.

Glossary: D channels of a token; h heads of d = D / h channels; H hidden channels of the MLP; p side of a patch; G
patches along one side of the picture; E extra tokens (class, distillation) in front of the G * G patches.

What renaming does not do:

- Hugging Face and the authors keep query, key and value apart: stacked to (3D, D) in this order.
- JAX stores kernels inputs first, those of the attention per head - (D, h, d), and (h, d, D) for its output - and
  convolutions as (p, p, C, D).
- Position embeddings (1, E + G * G, D) of another grid are resized as mmpretrain does it: bicubic, extra tokens kept.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

from mmext.classification.converters.vit_layouts import GOOGLE, HEAD_PARTS, IMAGENET, MMPRETRAIN, Names, find_names
from mmext.classification.converters.vit_sizes import VitSizes, read_sizes
from mmext.common.weight_conversion import ConversionReport, Rule, Shape, WeightsError, apply_rules

# What stands beside a backbone without being part of what it computes for a picture.
UNUSED = (
    (r'pooler\.', 'pooler: a dense layer with tanh on the class token, which no classifier has'),
    (r'(embeddings\.)?mask_token$', 'mask token, used in pretraining only'),
    (r'decoder', 'decoder of masked pretraining'),
)
# Parts of transformers that compute something else.
STRANGE = (
    (r'ls\d\.|gamma_\d|lambda_?\d|layer_scale', 'layer scale'),
    (r'norm_pre|pre_norm', 'a norm in front of the first block'),
    (r'fc_norm', 'a classifier on the mean of the patches'),
    (r'reg(ister)?_tokens?', 'register tokens'),
    (r'[qk]_norm', 'norms of query and key'),
    (r'attn_pool|MAPHead', 'attention pooling'),
    (r'rel_pos|relative_position', 'relative positions'),
    (r'patch_embed\.backbone|conv_root|conv_bn_relu', 'a convolutional stem'),
)


def convert_vit(
    state_dict: Mapping[str, Tensor],
    img_size: int | None = None,
    num_classes: int | None = None,
    drop_head: bool = False,
    backbone_only: bool = False,
    num_heads: int | None = None,
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Turns weights of a ViT into those of mmpretrain's `VisionTransformer` and `VisionTransformerClsHead`.

    A distilled one becomes `DistilledVisionTransformer` and `DeiTClsHead`.

    Args:
        state_dict: Weights in one of the layouts above, with or without a common prefix.
        img_size: Side of the pictures that the result is for, pixels: the position embeddings are resized to
            ``img_size / patch`` squared. None or the source's own: they stay as they are, bit for bit.
        num_classes: Keep the classifier only if it has this many classes. None: any.
        drop_head: Leave the classifier out.
        backbone_only: Leave it out and write bare names, without ``backbone.`` in front.
        num_heads: Heads of the attention, which the config needs and the weights of torch do not tell. None: those of
            the published architecture with the other sizes, if there is one.

    Returns:
        The new state dict - ``backbone.*`` and, if there is a classifier, ``head.layers.*`` - and the report, whose
        `arch` is `'ViT-B/16'` and so on, or starts with `'custom'`. The result is only usable if `report.ok`.

    Raises:
        WeightsError: The names belong to another layout, the network computes something else than a plain ViT, or an
            argument does not fit it.
    """
    names = find_names(state_dict)
    sizes = read_sizes(state_dict, names, num_heads)
    img_size = sizes.grid * sizes.patch if img_size is None else img_size
    if img_size < sizes.patch or img_size % sizes.patch:
        raise WeightsError(f'{img_size} pixels are no whole number of patches of {sizes.patch}. Fix: give a multiple.')
    report = ConversionReport(layout=names.layout.name, arch=sizes.arch)
    rules = _backbone_rules(names, sizes, img_size // sizes.patch, '' if backbone_only else 'backbone.')
    head = _head_rules(state_dict, names, sizes)
    _check_plain(state_dict, names, rules + head)
    classes = _outputs(state_dict, names, ('head', 'head_dist')) if head else None
    why_dropped = _why_dropped(classes, num_classes, drop_head or backbone_only)
    head_names = {source for rule in head for source in rule.sources}
    if head and not why_dropped:
        rules += head
    report.notes = _notes(state_dict, names, sizes, img_size, classes, why_dropped)

    def reason(name: str) -> str:
        return why_dropped if name in head_names else _why_unused(name, names)

    return apply_rules(state_dict, rules, report, reason), report


def _stack(*parts: Tensor) -> Tensor:
    """Query, key, value (D, D) -> (3D, D), or their biases (D,) -> (3D,)."""
    return torch.cat(parts)


def _conv_of_jax(kernel: Tensor) -> Tensor:
    """(p, p, C, D) -> (D, C, p, p)."""
    return kernel.permute(3, 2, 0, 1)


def _linear_of_jax(kernel: Tensor) -> Tensor:
    """(in, out) -> (out, in)."""
    return kernel.T


def _stack_of_jax(*kernels: Tensor) -> Tensor:
    """Query, key, value (D, h, d) -> (3D, D)."""
    return torch.cat([kernel.flatten(1).T for kernel in kernels])


def _stack_biases_of_jax(*biases: Tensor) -> Tensor:
    """Query, key, value (h, d) -> (3D,)."""
    return torch.cat([bias.flatten() for bias in biases])


def _attention_output_of_jax(kernel: Tensor) -> Tensor:
    """(h, d, D) -> (D, h * d)."""
    return kernel.flatten(0, 1).T


def _rule(
    names: Names, target: str, part: str, tensor: str, block: int, shape: Shape, build: Callable | None, note: str
) -> Rule:
    """One tensor made of one tensor; `build` None renames only."""
    new = target + MMPRETRAIN[part].format(n=block, t=tensor)
    source = {names.of(part, tensor, block): shape}
    return Rule(new, source, build, note) if build else Rule(new, source)


def _linear_rules(names: Names, target: str, part: str, shape: Shape, block: int = 0) -> list[Rule]:
    """Weight (out, in) and bias (out,) of a linear layer."""
    bias = _rule(names, target, part, 'bias', block, shape[:1], None, '')
    if not names.layout.jax:
        return [_rule(names, target, part, 'weight', block, shape, None, ''), bias]
    return [_rule(names, target, part, 'weight', block, shape[::-1], _linear_of_jax, 'transpose'), bias]


def _norm_rules(names: Names, target: str, part: str, width: int, block: int = 0) -> list[Rule]:
    return [_rule(names, target, part, tensor, block, (width,), None, '') for tensor in ('weight', 'bias')]


def _backbone_rules(names: Names, sizes: VitSizes, grid: int, target: str) -> list[Rule]:
    """One rule per tensor of the backbone, whose names start with `target`; position embeddings for `grid` squared."""
    width, patch, channels = sizes.width, sizes.patch, sizes.in_channels
    tokens = ['cls_token', 'dist_token'][: sizes.extra_tokens]
    rules = [_rule(names, target, token, 'weight', 0, (1, 1, width), None, '') for token in tokens]
    build, note = None, ''
    if grid != sizes.grid:
        shapes = ((sizes.grid,) * 2, (grid,) * 2)
        build = partial(_resize, shapes, sizes.extra_tokens)
        note = f'resize {sizes.grid}x{sizes.grid} positions to {grid}x{grid}, bicubic'
    positions = (1, sizes.extra_tokens + sizes.grid**2, width)
    rules.append(_rule(names, target, 'pos_embed', 'weight', 0, positions, build, note))
    if names.layout.jax:
        shape = (patch, patch, channels, width)
        rules.append(_rule(names, target, 'embed', 'weight', 0, shape, _conv_of_jax, 'axes to output, input, y, x'))
    else:
        rules.append(_rule(names, target, 'embed', 'weight', 0, (width, channels, patch, patch), None, ''))
    rules.append(_rule(names, target, 'embed', 'bias', 0, (width,), None, ''))
    for block in range(sizes.depth):
        rules += _block_rules(names, sizes, target, block)
    return rules + _norm_rules(names, target, 'norm', width)


def _resize(shapes: tuple[tuple[int, int], tuple[int, int]], extra_tokens: int, positions: Tensor) -> Tensor:
    """Position embeddings from one grid to another by mmpretrain's own function, which it also applies on loading."""
    return resize_pos_embed(positions, *shapes, 'bicubic', extra_tokens)


def _block_rules(names: Names, sizes: VitSizes, target: str, block: int) -> list[Rule]:
    width, hidden = sizes.width, sizes.hidden
    rules = _norm_rules(names, target, 'norm1', width, block) + _qkv_rules(names, sizes, target, block)
    if names.layout.jax:
        shape = (sizes.heads, width // sizes.heads, width)
        note = 'join heads, transpose'
        rules.append(_rule(names, target, 'proj', 'weight', block, shape, _attention_output_of_jax, note))
        rules.append(_rule(names, target, 'proj', 'bias', block, (width,), None, ''))
    else:
        rules += _linear_rules(names, target, 'proj', (width, width), block)
    rules += _norm_rules(names, target, 'norm2', width, block)
    rules += _linear_rules(names, target, 'fc1', (hidden, width), block)
    return rules + _linear_rules(names, target, 'fc2', (width, hidden), block)


def _qkv_rules(names: Names, sizes: VitSizes, target: str, block: int) -> list[Rule]:
    """Projection to query, key and value: (3D, D) and (3D,)."""
    width = sizes.width
    if names.has('qkv'):
        return _linear_rules(names, target, 'qkv', (3 * width, width), block)
    shapes, build, note = {'weight': (width, width), 'bias': (width,)}, dict.fromkeys(('weight', 'bias'), _stack), ''
    if names.layout.jax:
        per_head = (sizes.heads, width // sizes.heads)
        shapes = {'weight': (width, *per_head), 'bias': per_head}
        build, note = {'weight': _stack_of_jax, 'bias': _stack_biases_of_jax}, ', join heads'
    rules = []
    for tensor in ('weight', 'bias'):
        sources = {names.of(part, tensor, block): shapes[tensor] for part in ('query', 'key', 'value')}
        new = target + MMPRETRAIN['qkv'].format(n=block, t=tensor)
        rules.append(Rule(new, sources, build[tensor], f'concatenate query, key, value{note}'))
    return rules


def _head_rules(state_dict: Mapping[str, Tensor], names: Names, sizes: VitSizes) -> list[Rule]:
    """One rule per tensor of the classifier; none if the file has nothing of it."""
    present = [part for part in HEAD_PARTS if names.has(part) and _any_of(state_dict, names, part)]
    if not present:
        return []
    width, rules = sizes.width, []
    if 'pre_logits' in present:
        width = _outputs(state_dict, names, ('pre_logits',))
        rules += _linear_rules(names, '', 'pre_logits', (width, sizes.width))
    classes = _outputs(state_dict, names, ('head', 'head_dist'))
    for part in ('head', 'head_dist')[: sizes.extra_tokens]:
        rules += _linear_rules(names, '', part, (classes, width))
    return rules


def _any_of(state_dict: Mapping[str, Tensor], names: Names, part: str) -> bool:
    return any(names.of(part, tensor) in state_dict for tensor in ('weight', 'bias'))


def _outputs(state_dict: Mapping[str, Tensor], names: Names, parts: tuple[str, ...]) -> int:
    """Outputs of one or several alike linear layers: by their biases, or their weights if those are missing."""
    wanted = [names.of(part, tensor) for tensor in ('bias', 'weight') for part in parts if names.has(part)]
    shapes = [state_dict[name].shape for name in wanted if name in state_dict and state_dict[name].ndim]
    if not shapes:
        return 1000  # the report names the tensors as missing or of a wrong shape
    return shapes[0][-1 if names.layout.jax else 0]


def _why_dropped(classes: int | None, num_classes: int | None, drop: bool) -> str:
    if drop:
        return 'classifier, left out on request'
    if classes is not None and num_classes not in (None, classes):
        return f'classifier of {classes} classes, {num_classes} are asked for'
    return ''


def _why_unused(name: str, names: Names) -> str:
    bare = name.removeprefix(names.prefix).removeprefix(names.root)
    return next((reason for pattern, reason in UNUSED if re.match(pattern, bare)), '')


def _check_plain(state_dict: Mapping[str, Tensor], names: Names, rules: list[Rule]) -> None:
    """Refuses networks that compute something else than a plain ViT: the weights would not give their outputs."""
    known = {source for rule in rules for source in rule.sources}
    inside = [name for name in state_dict if name.startswith(names.root) and name not in known]
    strange = [name for name in inside if not _why_unused(name, names)]
    if not strange:
        return
    kinds = (kind for pattern, kind in STRANGE if any(re.search(pattern, name) for name in strange))
    kind = next(kinds, 'parts')
    raise WeightsError(
        f'this is no plain Vision Transformer of {names.layout.name}: it has {kind} that those lack '
        f'({", ".join(strange[:3])}; {len(strange)} tensors). Fix: give a ViT without.'
    )


def _notes(
    state_dict: Mapping[str, Tensor],
    names: Names,
    sizes: VitSizes,
    img_size: int,
    classes: int | None,
    why_dropped: str,
) -> list[str]:
    """The config that the weights fit, what makes its outputs the same, and how pictures are normalised."""
    notes = [f'Config: backbone={sizes.backbone_config(img_size)}']
    if sizes.heads is None:
        notes.append('The weights do not tell the number of heads: give it, a wrong one changes the outputs unnoticed.')
    if classes is None or why_dropped:
        reason = 'The file has no classifier' if classes is None else f'Not converted: the {why_dropped}'
        notes.append(f'{reason}. The head starts from its own initialisation.')
    else:
        head = dict(type='DeiTClsHead' if sizes.distilled else 'VisionTransformerClsHead')
        head |= dict(num_classes=classes, in_channels=sizes.width)
        if names.has('pre_logits') and _any_of(state_dict, names, 'pre_logits'):
            head |= dict(hidden_dim=_outputs(state_dict, names, ('pre_logits',)))
        notes.append(f'Config: head={head}')
    if names.layout.exact:
        notes.append(
            f'For the same numbers as in {names.layout.name}, also in the backbone: {dict(names.layout.exact)} '
            f'({names.layout.exact_reason}).'
        )
    inputs = f'Pictures in RGB, data_preprocessor=dict({names.layout.inputs}, to_rgb=True).'
    if not names.layout.inputs:
        inputs = (
            f"A state dict does not tell how its pictures were normalised. Google's weights: {GOOGLE}; DeiT, DINO and "
            f'MAE: {IMAGENET}; both in RGB (to_rgb=True). The model card or preprocessor_config.json says which.'
        )
    return [*notes, inputs]
