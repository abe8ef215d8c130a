"""Who calls which part of a SegFormer what.

`{n}` is the stage counted from 1, `{i}` counted from 0, `{b}` the block counted from 0. Names of the backbone's parts
follow `Layout.backbone_prefix`; those of the head start with `decode_head.`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmext.common.weight_conversion import WeightsError


@dataclass(frozen=True, eq=False)
class Layout:
    """The names of one implementation.

    Attributes:
        name: Whose it is.
        backbone_prefix: What precedes the backbone's names in a checkpoint of a whole model, and sometimes alone.
        parts: Part -> template of its name, without `.weight` and `.bias`.
        in_proj: Part -> number of row blocks of the attention's input projection that it holds, in the order query,
            key, value; empty where they are one tensor already.
    """

    name: str
    backbone_prefix: str
    parts: Mapping[str, str]
    in_proj: Mapping[str, int]

    def name_of(self, part: str, stage: int, block: int = 0) -> str:
        return self.parts[part].format(n=stage, i=stage - 1, b=block)

    def block_of(self, name: str, backbone: str, stage: int) -> int | None:
        """Number of the block of `stage` that the tensor `name` belongs to; None if it is part of no block."""
        before = self.parts['norm1'].partition('{b}')[0].format(n=stage, i=stage - 1)
        found = re.match(re.escape(backbone + before) + r'(\d+)\.', name)
        return int(found.group(1)) if found else None

    def prefix_of(self, name: str) -> str | None:
        """What stands before the backbone's own part of `name`; None if it is no name of this layout's backbone."""
        owners = (self.parts['embed'].rpartition('.')[0], self.parts['norm1'].rpartition('.')[0])
        for owner in (*owners, self.parts['stage_norm']):
            numbers = re.sub(r'\\\{[nib]\\\}', r'\\d+', re.escape(owner))
            found = re.match(rf'((?:[A-Za-z_]+\.)*?){numbers}\.', name)
            if found:
                return found.group(1)
        return None


_HEAD_OF_HUGGING_FACE = {
    'fuse': 'decode_head.linear_fuse',
    'fuse_norm': 'decode_head.batch_norm',
    'predict': 'decode_head.classifier',
}

NVLABS = Layout(
    name='NVlabs',
    backbone_prefix='backbone.',
    parts={
        'embed': 'patch_embed{n}.proj',
        'embed_norm': 'patch_embed{n}.norm',
        'norm1': 'block{n}.{b}.norm1',
        'query': 'block{n}.{b}.attn.q',
        'key_value': 'block{n}.{b}.attn.kv',
        'proj': 'block{n}.{b}.attn.proj',
        'sr': 'block{n}.{b}.attn.sr',
        'sr_norm': 'block{n}.{b}.attn.norm',
        'norm2': 'block{n}.{b}.norm2',
        'fc1': 'block{n}.{b}.mlp.fc1',
        'dwconv': 'block{n}.{b}.mlp.dwconv.dwconv',
        'fc2': 'block{n}.{b}.mlp.fc2',
        'stage_norm': 'norm{n}',
        'project': 'decode_head.linear_c{n}.proj',
        'fuse': 'decode_head.linear_fuse.conv',
        'fuse_norm': 'decode_head.linear_fuse.bn',
        'predict': 'decode_head.linear_pred',
    },
    in_proj={'query': 1, 'key_value': 2},
)

HUGGING_FACE = Layout(
    name='Hugging Face',
    backbone_prefix='segformer.',
    parts={
        'embed': 'encoder.patch_embeddings.{i}.proj',
        'embed_norm': 'encoder.patch_embeddings.{i}.layer_norm',
        'norm1': 'encoder.block.{i}.{b}.layer_norm_1',
        'query': 'encoder.block.{i}.{b}.attention.self.query',
        'key': 'encoder.block.{i}.{b}.attention.self.key',
        'value': 'encoder.block.{i}.{b}.attention.self.value',
        'proj': 'encoder.block.{i}.{b}.attention.output.dense',
        'sr': 'encoder.block.{i}.{b}.attention.self.sr',
        'sr_norm': 'encoder.block.{i}.{b}.attention.self.layer_norm',
        'norm2': 'encoder.block.{i}.{b}.layer_norm_2',
        'fc1': 'encoder.block.{i}.{b}.mlp.dense1',
        'dwconv': 'encoder.block.{i}.{b}.mlp.dwconv.dwconv',
        'fc2': 'encoder.block.{i}.{b}.mlp.dense2',
        'stage_norm': 'encoder.layer_norm.{i}',
        'project': 'decode_head.linear_c.{i}.proj',
        **_HEAD_OF_HUGGING_FACE,
    },
    in_proj={'query': 1, 'key': 1, 'value': 1},
)

# Newer transformers versions rename on loading; only `state_dict()` of a live model shows these names.
HUGGING_FACE_IN_MEMORY = Layout(
    name='Hugging Face (in memory)',
    backbone_prefix='segformer.',
    parts={
        'embed': 'stages.{i}.patch_embeddings.proj',
        'embed_norm': 'stages.{i}.patch_embeddings.layer_norm',
        'norm1': 'stages.{i}.blocks.{b}.layernorm_before',
        'query': 'stages.{i}.blocks.{b}.attention.q_proj',
        'key': 'stages.{i}.blocks.{b}.attention.k_proj',
        'value': 'stages.{i}.blocks.{b}.attention.v_proj',
        'proj': 'stages.{i}.blocks.{b}.attention.o_proj',
        'sr': 'stages.{i}.blocks.{b}.attention.sequence_reduction.sequence_reduction',
        'sr_norm': 'stages.{i}.blocks.{b}.attention.sequence_reduction.layer_norm',
        'norm2': 'stages.{i}.blocks.{b}.layernorm_after',
        'fc1': 'stages.{i}.blocks.{b}.mlp.fc1',
        'dwconv': 'stages.{i}.blocks.{b}.mlp.dwconv.dwconv',
        'fc2': 'stages.{i}.blocks.{b}.mlp.fc2',
        'stage_norm': 'stages.{i}.layer_norm',
        'project': 'decode_head.linear_projections.{i}.proj',
        **_HEAD_OF_HUGGING_FACE,
    },
    in_proj={'query': 1, 'key': 1, 'value': 1},
)

MMSEG = Layout(
    name='mmseg',
    backbone_prefix='backbone.',
    parts={
        'embed': 'layers.{i}.0.projection',
        'embed_norm': 'layers.{i}.0.norm',
        'norm1': 'layers.{i}.1.{b}.norm1',
        'attention': 'layers.{i}.1.{b}.attn.attn',
        'proj': 'layers.{i}.1.{b}.attn.attn.out_proj',
        'sr': 'layers.{i}.1.{b}.attn.sr',
        'sr_norm': 'layers.{i}.1.{b}.attn.norm',
        'norm2': 'layers.{i}.1.{b}.norm2',
        'fc1': 'layers.{i}.1.{b}.ffn.layers.0',
        'dwconv': 'layers.{i}.1.{b}.ffn.layers.1',
        'fc2': 'layers.{i}.1.{b}.ffn.layers.4',
        'stage_norm': 'layers.{i}.2',
        'project': 'decode_head.convs.{i}.conv',
        'project_norm': 'decode_head.convs.{i}.bn',
        'fuse': 'decode_head.fusion_conv.conv',
        'fuse_norm': 'decode_head.fusion_conv.bn',
        'predict': 'decode_head.conv_seg',
    },
    in_proj={},
)

LAYOUTS = (NVLABS, HUGGING_FACE, HUGGING_FACE_IN_MEMORY, MMSEG)


def find_layout(names: Iterable[str]) -> tuple[Layout, str]:
    """The layout that most of the names fit, and the prefix that stands before the backbone's names in them.

    Majority, not a single telling name: a file that lacks any one tensor is still recognised, and the report can say
    which one it lacks.

    Raises:
        WeightsError: No name belongs to the backbone of a known layout.
    """
    names = list(names)
    votes = Counter(
        (layout, prefix)
        for layout in LAYOUTS
        for name in names
        if (prefix := layout.prefix_of(name)) is not None and not name.startswith('decode_head.')
    )
    if not votes:
        raise WeightsError(
            f'none of the {len(names)} tensors ({", ".join(names[:3])}, ...) is named as in a SegFormer. '
            f'Fix: give weights of a MiT backbone or SegFormer as saved by {", ".join(each.name for each in LAYOUTS)}.'
        )
    (layout, prefix), _ = votes.most_common(1)[0]
    return layout, prefix
