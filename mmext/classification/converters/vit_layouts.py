"""Who calls which part of a Vision Transformer what.

`{n}` is the block counted from 0, `{t}` the tensor: `weight` or `bias` in torch; `kernel`, `scale` or `bias` in JAX.
Names of the backbone's parts follow one of `Layout.backbone_prefixes`, those of the head do not.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmext.common.weight_conversion import WeightsError

NORMS = ('norm1', 'norm2', 'norm')


@dataclass(frozen=True, eq=False)
class Layout:
    """The names of one implementation.

    Attributes:
        name: Whose it is.
        parts: Part -> template of its tensors' names; several where versions differ. A part that is missing here has
            no counterpart in this implementation.
        backbone_prefixes: What may precede the backbone's names in a checkpoint of a whole classifier.
        jax: Whether kernels are stored inputs first, and separately for every head of the attention.
        exact: Arguments of the backbone beside its sizes that give the implementation's own numbers; the same weights
            run without them, with differences far below those of a resized picture.
        exact_reason: What these arguments change.
        inputs: How the pictures must be normalised; empty if a file may be of either kind.
    """

    name: str
    parts: Mapping[str, str | tuple[str, ...]]
    backbone_prefixes: tuple[str, ...] = ()
    jax: bool = False
    exact: Mapping = field(default_factory=dict)
    exact_reason: str = ''
    inputs: str = ''

    @property
    def separator(self) -> str:
        return '/' if self.jax else '.'

    def prefix_of(self, name: str) -> str | None:
        """What stands before the backbone's own part of `name`; None if it is no name of this layout's blocks."""
        before = self.parts['norm1'].partition('{n}')[0]
        sep = re.escape(self.separator)
        found = re.match(rf'((?:[A-Za-z_]\w*{sep})*?){re.escape(before)}\d+{sep}', name)
        return found[1] if found else None


GOOGLE = 'mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]'
IMAGENET = 'mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]'

TIMM = Layout(
    name='timm',
    parts={
        'cls_token': 'cls_token',
        'dist_token': 'dist_token',
        'pos_embed': 'pos_embed',
        'embed': 'patch_embed.proj.{t}',
        'norm1': 'blocks.{n}.norm1.{t}',
        'qkv': 'blocks.{n}.attn.qkv.{t}',
        'proj': 'blocks.{n}.attn.proj.{t}',
        'norm2': 'blocks.{n}.norm2.{t}',
        'fc1': 'blocks.{n}.mlp.fc1.{t}',
        'fc2': 'blocks.{n}.mlp.fc2.{t}',
        'norm': 'norm.{t}',
        'pre_logits': 'pre_logits.fc.{t}',
        'head': 'head.{t}',
        'head_dist': 'head_dist.{t}',
    },
)

HUGGING_FACE = Layout(
    name='Hugging Face',
    backbone_prefixes=('vit.', 'deit.'),
    parts={
        'cls_token': 'embeddings.cls_token',
        'dist_token': 'embeddings.distillation_token',
        'pos_embed': 'embeddings.position_embeddings',
        'embed': 'embeddings.patch_embeddings.projection.{t}',
        'norm1': 'encoder.layer.{n}.layernorm_before.{t}',
        'query': 'encoder.layer.{n}.attention.attention.query.{t}',
        'key': 'encoder.layer.{n}.attention.attention.key.{t}',
        'value': 'encoder.layer.{n}.attention.attention.value.{t}',
        'proj': 'encoder.layer.{n}.attention.output.dense.{t}',
        'norm2': 'encoder.layer.{n}.layernorm_after.{t}',
        'fc1': 'encoder.layer.{n}.intermediate.dense.{t}',
        'fc2': 'encoder.layer.{n}.output.dense.{t}',
        'norm': 'layernorm.{t}',
        'head': ('classifier.{t}', 'cls_classifier.{t}'),
        'head_dist': 'distillation_classifier.{t}',
    },
    exact=dict(norm_cfg=dict(type='LN', eps=1e-12)),
    exact_reason="its layer norms add 1e-12 to the variance v of a token, mmpretrain's 1e-6: a factor of 1 - 5e-7 / v",
)

JAX = Layout(
    name='google-research (npz)',
    parts={
        'cls_token': 'cls',
        'pos_embed': 'Transformer/posembed_input/pos_embedding',
        'embed': 'embedding/{t}',
        'norm1': 'Transformer/encoderblock_{n}/LayerNorm_0/{t}',
        'query': 'Transformer/encoderblock_{n}/MultiHeadDotProductAttention_1/query/{t}',
        'key': 'Transformer/encoderblock_{n}/MultiHeadDotProductAttention_1/key/{t}',
        'value': 'Transformer/encoderblock_{n}/MultiHeadDotProductAttention_1/value/{t}',
        'proj': 'Transformer/encoderblock_{n}/MultiHeadDotProductAttention_1/out/{t}',
        'norm2': 'Transformer/encoderblock_{n}/LayerNorm_2/{t}',
        'fc1': 'Transformer/encoderblock_{n}/MlpBlock_3/Dense_0/{t}',
        'fc2': 'Transformer/encoderblock_{n}/MlpBlock_3/Dense_1/{t}',
        'norm': 'Transformer/encoder_norm/{t}',
        'pre_logits': 'pre_logits/{t}',
        'head': 'head/{t}',
    },
    jax=True,
    exact=dict(layer_cfgs=dict(act_cfg=dict(type='GELU', approximate='tanh'))),
    exact_reason='flax approximates the GELU by a tanh, off by at most 5e-4',
    inputs=GOOGLE,
)

TORCHVISION = Layout(
    name='torchvision',
    parts={
        'cls_token': 'class_token',
        'pos_embed': 'encoder.pos_embedding',
        'embed': 'conv_proj.{t}',
        'norm1': 'encoder.layers.encoder_layer_{n}.ln_1.{t}',
        'qkv': 'encoder.layers.encoder_layer_{n}.self_attention.in_proj_{t}',
        'proj': 'encoder.layers.encoder_layer_{n}.self_attention.out_proj.{t}',
        'norm2': 'encoder.layers.encoder_layer_{n}.ln_2.{t}',
        # The published files are older than the live model's names.
        'fc1': ('encoder.layers.encoder_layer_{n}.mlp.0.{t}', 'encoder.layers.encoder_layer_{n}.mlp.linear_1.{t}'),
        'fc2': ('encoder.layers.encoder_layer_{n}.mlp.3.{t}', 'encoder.layers.encoder_layer_{n}.mlp.linear_2.{t}'),
        'norm': 'encoder.ln.{t}',
        'pre_logits': 'heads.pre_logits.{t}',
        'head': 'heads.head.{t}',
    },
    inputs=IMAGENET,
)

LAYOUTS = (TIMM, HUGGING_FACE, JAX, TORCHVISION)

# What the result is called; `{t}` as in torch.
MMPRETRAIN = {
    'cls_token': 'cls_token',
    'dist_token': 'dist_token',
    'pos_embed': 'pos_embed',
    'embed': 'patch_embed.projection.{t}',
    'norm1': 'layers.{n}.ln1.{t}',
    'qkv': 'layers.{n}.attn.qkv.{t}',
    'proj': 'layers.{n}.attn.proj.{t}',
    'norm2': 'layers.{n}.ln2.{t}',
    'fc1': 'layers.{n}.ffn.layers.0.0.{t}',
    'fc2': 'layers.{n}.ffn.layers.1.{t}',
    'norm': 'ln1.{t}',
    'pre_logits': 'head.layers.pre_logits.{t}',
    'head': 'head.layers.head.{t}',
    'head_dist': 'head.layers.head_dist.{t}',
}
# Counts modules by kind, or stacks all blocks in one array, where JAX above counts them together.
BIG_VISION = re.compile(r'Transformer/encoderblock(/|_\d+/(MultiHeadDotProductAttention_0|MlpBlock_0)/)')
HEAD_PARTS = ('pre_logits', 'head', 'head_dist')


class Names:
    """Names of the parts in one file: of one layout, with what stands in front of them."""

    def __init__(self, layout: Layout, prefix: str, names: Iterable[str]) -> None:
        self.layout, self.prefix = layout, prefix
        inside = next((each for each in layout.backbone_prefixes if prefix.endswith(each)), '')
        self.root = prefix.removesuffix(inside)
        self._templates = {part: self._spelling(part, list(names)) for part in layout.parts}

    def _spelling(self, part: str, names: list[str]) -> str:
        """Of several templates the one that most names fit, so that a lost tensor is missed under the right name."""
        templates = self.layout.parts[part]
        templates = (templates,) if isinstance(templates, str) else templates
        before = self.root if part in HEAD_PARTS else self.prefix

        def fits(template: str) -> int:
            pattern = re.escape(before + template).replace(r'\{n\}', r'\d+').replace(r'\{t\}', r'\w+')
            return sum(re.fullmatch(pattern, name) is not None for name in names)

        return before + max(templates, key=fits)

    def has(self, part: str) -> bool:
        return part in self._templates

    def of(self, part: str, tensor: str = 'weight', block: int = 0) -> str:
        """Full name of a tensor; `tensor` is `'weight'` or `'bias'` in every layout."""
        if self.layout.jax and tensor == 'weight':
            tensor = 'scale' if part in NORMS else 'kernel'
        return self._templates[part].format(n=block, t=tensor)

    def pattern(self, part: str, tensor: str = 'weight') -> str:
        """Regular expression of a tensor's name in any block."""
        return re.escape(self.of(part, tensor, 777)).replace('777', r'\d+')


def find_names(names: Iterable[str]) -> Names:
    """The layout that most of the names fit, and the prefix that stands before the backbone's names.

    Majority, not a single telling name: a file that lacks any one tensor is still recognised.

    Raises:
        WeightsError: No name belongs to a block of a known layout, or they are those of another program.
    """
    names = list(names)
    votes = Counter(
        (layout, prefix) for layout in LAYOUTS for name in names if (prefix := layout.prefix_of(name)) is not None
    )
    hint = f'give a ViT of {", ".join(layout.name for layout in LAYOUTS)}'
    if any(BIG_VISION.search(name) for name in names):
        votes, hint = {}, "these are big_vision's names, whose class token has no position; " + hint
    elif any(re.match(r'(backbone\.)?layers\.\d+\.(ln1|attn\.qkv)\.', name) for name in names):
        votes, hint = {}, 'these are the names of mmpretrain already, load the file as it is'
    if not votes:
        raise WeightsError(
            f'the {len(names)} tensors ({", ".join(names[:3])}, ...) are not named as in a known Vision Transformer. '
            f'Fix: {hint}.'
        )
    (layout, prefix), _ = votes.most_common(1)[0]
    return Names(layout, prefix, names)
