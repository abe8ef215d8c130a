"""Who calls which part of a context decoder what; `{i}` is the number of a branch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Names(NamedTuple):
    """A convolution and the batch norm behind it, '' where there is none."""

    conv: str
    norm: str = ''


@dataclass(frozen=True, eq=False)
class Layout:
    """The names of one implementation.

    Attributes:
        name: Whose it is.
        context: Our context module that computes the same.
        marker: A tensor that only this layout has; what precedes it in a file precedes all names of the decoder.
        parts: Module of `ContextHead` -> names without `.weight` and the like.
        auxiliary: The same for the modules of `ContextHead.auxiliary`.
        roots: Beginning of the decoder's and of the auxiliary classifier's names, where they differ.
    """

    name: str
    context: str
    marker: str
    parts: Mapping[str, Names]
    auxiliary: Mapping[str, Names]
    roots: tuple[str, str] = field(default=('', ''))

    def find(self, module: str, root: str) -> Names | None:
        """Names of the counterpart of our `module`, after `root`; None if there is none."""
        numbers = re.findall(r'(?<=branches\.)\d+', module)
        pattern = re.sub(r'(?<=branches\.)\d+', '{i}', module)
        if pattern in self.auxiliary:
            root, names = root.replace(*self.roots) if self.roots[0] else root, self.auxiliary[pattern]
        elif pattern in self.parts:
            names = self.parts[pattern]
        else:
            return None
        index = numbers[0] if numbers else ''
        return Names(*(root + name.replace('{i}', index) for name in names))


def _mmseg(name: str) -> Names:
    return Names(f'{name}.conv', f'{name}.bn')


_MMSEG_FCN = {'auxiliary.convs.0': _mmseg('convs.0'), 'auxiliary.conv_seg': Names('conv_seg')}
_MMSEG_LAST = {'bottleneck': _mmseg('bottleneck'), 'conv_seg': Names('conv_seg')}


def _authors_of_ocr(attention: str) -> dict[str, Names]:
    """Modules within SpatialOCR_Module, which both repositories of its authors share."""
    block = f'{attention}.object_context_block'
    return {
        'context.query.0': Names(f'{block}.f_pixel.0', f'{block}.f_pixel.1.0'),
        'context.query.1': Names(f'{block}.f_pixel.2', f'{block}.f_pixel.3.0'),
        'context.key.0': Names(f'{block}.f_object.0', f'{block}.f_object.1.0'),
        'context.key.1': Names(f'{block}.f_object.2', f'{block}.f_object.3.0'),
        'context.value': Names(f'{block}.f_down.0', f'{block}.f_down.1.0'),
        'context.out': Names(f'{block}.f_up.0', f'{block}.f_up.1.0'),
        'bottleneck': Names(f'{attention}.conv_bn_dropout.0', f'{attention}.conv_bn_dropout.1.0'),
    }


LAYOUTS = (
    Layout(
        name='mmseg PSPHead',
        context='PyramidPooling',
        marker='psp_modules.0.1.conv.weight',
        parts={'context.branches.{i}.conv': _mmseg('psp_modules.{i}.1'), **_MMSEG_LAST},
        auxiliary=_MMSEG_FCN,
        roots=('decode_head.', 'auxiliary_head.'),
    ),
    Layout(
        name='mmseg ASPPHead',
        context='AtrousPyramid with image_pooling',
        marker='aspp_modules.0.conv.weight',
        parts={
            'context.image_pooling.conv': _mmseg('image_pool.1'),
            'context.branches.{i}': _mmseg('aspp_modules.{i}'),
            **_MMSEG_LAST,
        },
        auxiliary=_MMSEG_FCN,
        roots=('decode_head.', 'auxiliary_head.'),
    ),
    Layout(
        name='mmseg OCRHead',
        context='ObjectContext',
        marker='object_context_block.bottleneck.conv.weight',
        parts={
            'context.pixel': _mmseg('bottleneck'),
            'context.query.0': _mmseg('object_context_block.query_project.0'),
            'context.query.1': _mmseg('object_context_block.query_project.1'),
            'context.key.0': _mmseg('object_context_block.key_project.0'),
            'context.key.1': _mmseg('object_context_block.key_project.1'),
            'context.value': _mmseg('object_context_block.value_project'),
            'context.out': _mmseg('object_context_block.out_project'),
            'bottleneck': _mmseg('object_context_block.bottleneck'),
            'conv_seg': Names('conv_seg'),
        },
        auxiliary=_MMSEG_FCN,
        roots=('decode_head.1.', 'decode_head.0.'),
    ),
    Layout(
        name='hszhao/semseg PSPNet',
        context='PyramidPooling',
        marker='ppm.features.0.1.weight',
        parts={
            'context.branches.{i}.conv': Names('ppm.features.{i}.1', 'ppm.features.{i}.2'),
            'bottleneck': Names('cls.0', 'cls.1'),
            'conv_seg': Names('cls.4'),
        },
        auxiliary={'auxiliary.convs.0': Names('aux.0', 'aux.1'), 'auxiliary.conv_seg': Names('aux.4')},
    ),
    Layout(
        name='openseg.pytorch SpatialOCRNet',
        context='ObjectContext',
        marker='spatial_ocr_head.object_context_block.f_pixel.0.weight',
        parts={
            'context.pixel': Names('conv_3x3.0', 'conv_3x3.1.0'),
            **_authors_of_ocr('spatial_ocr_head'),
            'conv_seg': Names('head'),
        },
        auxiliary={
            'auxiliary.convs.0': Names('dsn_head.0', 'dsn_head.1.0'),
            'auxiliary.conv_seg': Names('dsn_head.3'),
        },
    ),
    Layout(
        name='HRNet-Semantic-Segmentation OCR',
        context='ObjectContext',
        marker='ocr_distri_head.object_context_block.f_pixel.0.weight',
        parts={
            'context.pixel': Names('conv3x3_ocr.0', 'conv3x3_ocr.1'),
            **_authors_of_ocr('ocr_distri_head'),
            'conv_seg': Names('cls_head'),
        },
        auxiliary={
            'auxiliary.convs.0': Names('aux_head.0', 'aux_head.1'),
            'auxiliary.conv_seg': Names('aux_head.3'),
        },
    ),
)
