"""One decode head for every context module, with the auxiliary classifier that all of them share."""

from collections.abc import Sequence

import torch.nn as nn
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import FCNHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, SampleList
from torch import Tensor


@MODELS.register_module()
class ContextHead(BaseDecodeHead):
    """Context module, a convolution that fuses its output to `channels`, dropout, classifier.

    The context is the only thing that changes between PSPNet, DeepLab's ASPP and OCR, so that comparing them takes one
    line of a config. Works in a plain ``EncoderDecoder``; `forward` returns the main logits alone.

    The auxiliary classifier of the context report sits in the head, not in the segmentor's ``auxiliary_head``: a 3x3
    convolution and a 1x1 classifier, by default on layer3 in the configs, as the authors of OCR and of PSPNet have it.
    OCR takes its soft object regions from it, the other contexts only train it. It runs in a test only where the
    context needs it. Its losses are those of `loss_decode` once more, times `aux_weight`, under the names
    ``loss_aux_*``, its accuracy is ``acc_aux``.

    Differs from upstream's ``PSPHead``, ``ASPPHead`` and ``OCRHead`` in that one image a process trains (see
    `mmext.segmentation.models.contexts.pooled_branch`); outputs are the same, and
    `mmext.segmentation.converters.context` loads their weights.

    Args:
        context: Config of a module of `mmext.segmentation.models.contexts`. Channels, norm, activation and
            `align_corners` are those of the head unless named here.
        auxiliary: Settings of the classifier that differ from one convolution of the head's own `in_index`,
            `in_channels`, `channels`, losses and layers; any argument of ``FCNHead``. None: no classifier, unless the
            context needs regions.
        aux_weight: Factor of the auxiliary losses.
        **kwargs: As `BaseDecodeHead`, without `input_transform`.

    Shape:
        List of maps, of which ``inputs[in_index]`` is (B, in_channels, H, W); returns logits (B, num_classes, H, W).
    """

    def __init__(self, context: dict, auxiliary: dict | None = None, aux_weight: float = 0.4, **kwargs) -> None:
        super().__init__(**kwargs)
        self.aux_weight = aux_weight
        layers = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        shared = dict(in_channels=self.in_channels, channels=self.channels, align_corners=self.align_corners, **layers)
        self.context = MODELS.build({**shared, **context})
        kernel_size = self.context.fuse_kernel_size
        self.bottleneck = ConvModule(
            self.context.out_channels, self.channels, kernel_size, padding=kernel_size // 2, **layers
        )
        self.auxiliary = None
        if auxiliary is not None or self.context.needs_regions:
            shared = dict(
                shared,
                num_classes=self.num_classes,
                out_channels=self.out_channels,
                threshold=self.threshold,
                in_index=self.in_index,
                num_convs=1,
                concat_input=False,
                dropout_ratio=self.dropout_ratio,
                ignore_index=self.ignore_index,
                sampler=kwargs.get('sampler'),
                loss_decode=self._auxiliary_losses(kwargs.get('loss_decode', dict(type='CrossEntropyLoss'))),
            )
            self.auxiliary = FCNHead(**{**shared, **(auxiliary or {})})

    def _auxiliary_losses(self, loss_decode: dict | Sequence[dict]) -> list[dict]:
        """The head's losses under names of their own, so that what they log beside the loss is told apart too."""
        configs = [loss_decode] if isinstance(loss_decode, dict) else loss_decode
        built = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        return [
            dict(config, loss_name=auxiliary_name(loss.loss_name)) for config, loss in zip(configs, built, strict=True)
        ]

    def _classify(self, inputs: Sequence[Tensor], with_auxiliary: bool) -> tuple[Tensor, Tensor | None]:
        x = self._transform_inputs(inputs)
        aux_logits = None
        if self.auxiliary is not None and (with_auxiliary or self.context.needs_regions):
            aux_logits = self.auxiliary(inputs)
        features = self.context(x, aux_logits) if self.context.needs_regions else self.context(x)
        return self.cls_seg(self.bottleneck(features)), aux_logits

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        return self._classify(inputs, with_auxiliary=False)[0]

    def loss(self, inputs: Sequence[Tensor], batch_data_samples: SampleList, train_cfg: ConfigType) -> dict:
        """Main and auxiliary losses of a batch; a batch without labelled pixels gives what `loss_decode` gives."""
        logits, aux_logits = self._classify(inputs, with_auxiliary=True)
        losses = self.loss_by_feat(logits, batch_data_samples)
        if aux_logits is not None:
            aux_losses = self.auxiliary.loss_by_feat(aux_logits, batch_data_samples)
            losses['acc_aux'] = aux_losses.pop('acc_seg')
            losses |= {auxiliary_name(name): self.aux_weight * value for name, value in aux_losses.items()}
        return losses


def auxiliary_name(loss_name: str) -> str:
    """'loss_ce' -> 'loss_aux_ce'; names that say so already stay."""
    return f'loss_aux_{loss_name.removeprefix("loss_").removeprefix("aux_")}'
