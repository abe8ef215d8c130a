"""The Vision Transformer of the CIFAR-100 study: arXiv:2010.11929 at 32 x 32 pixels, with switches.

Shapes: B images of H x W pixels, p pixels per patch side, N = 1 + (H / p) (W / p) tokens (the class token first), C
channels, h heads of d = C / h channels.
"""

import torch
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.registry import MODELS
from torch import Tensor, nn

POSITIONS = ('learned', None)


@MODELS.register_module()
class ReportViT(VisionTransformer):
    """mmpretrain's ``VisionTransformer`` with the position embedding and attention's output projection as switches.

    It inherits, as only these two differ: the pre-norm block (``x + attn(ln1(x))``, then ``x + ffn(ln2(x))``), fused
    attention, stochastic depth, the resizing of position embeddings and every output type are mmpretrain's own, and
    whatever works on its ViT works here. Attention is softmax(q k^T / sqrt(d)) v; ``layers[i].attn.qkv`` is one linear
    layer whose output (B, N, 3C) holds q, k and v in that order, each split into heads.

    With the linear head of 100 classes the published counts are met:

    ========= ==== ==== == ============ ===========
    network   C    MLP  h  64 patches   256 patches
    ========= ==== ==== == ============ ===========
    ViT-small 192  768  3  4,935,460    4,965,412
    ViT-large 240  1464 6  10,599,028   10,636,468
    ========= ==== ==== == ============ ===========

    Assumed, as the report and its rounded counts leave it open: the class token has a position embedding too; d is a
    head's width, as usual, not C; GELU; LayerNorm's epsilon 1e-6; mmpretrain's initialisation.

    Args:
        img_size: Side of the images in pixels, or (H, W); a multiple of ``patch_size``. Images of other sizes pass too:
            position embeddings are then resized.
        patch_size: Side of a patch in pixels: 4 gives 64 patches of a CIFAR image, 2 gives 256.
        embed_dims: C.
        feedforward_channels: Width of the MLP's hidden layer.
        num_heads: h; divides C.
        num_layers: Number of encoders.
        pos_embed: 'learned', one vector per token, or None; patches are then a set without order.
        out_proj: Whether a linear layer C -> C follows the heads, as usual. The report has none.
        act_cfg: Activation in the MLP.
        drop_rate: Dropout after the embedding, after attention, and after both layers of the MLP; in [0, 1).
        attn_drop_rate: Dropout of attention weights; in [0, 1).
        drop_path_rate: Stochastic depth: chance of skipping a branch, per image, rising linearly from 0 in the first
            encoder to this in the last; in [0, 1).
        qkv_bias: Whether q, k and v have biases.
        in_channels: Channels of the image.
        **kwargs: The parent's further settings: ``out_type``, ``out_indices``, ``norm_cfg``, ``init_cfg``...

    Shape:
        Images (B, in_channels, H, W) float; returns a tuple of one class token (B, C) for ``VisionTransformerClsHead``.

    Raises:
        ValueError: a setting that the network cannot have; names it, its value and the fix.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 32,
        patch_size: int = 4,
        embed_dims: int = 192,
        feedforward_channels: int = 768,
        num_heads: int = 3,
        num_layers: int = 12,
        pos_embed: str | None = 'learned',
        out_proj: bool = False,
        act_cfg: dict | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        qkv_bias: bool = True,
        in_channels: int = 3,
        **kwargs,
    ) -> None:
        arch = dict(
            embed_dims=embed_dims,
            feedforward_channels=feedforward_channels,
            num_heads=num_heads,
            num_layers=num_layers,
        )
        rates = dict(drop_rate=drop_rate, attn_drop_rate=attn_drop_rate, drop_path_rate=drop_path_rate)
        _check_settings(img_size, dict(arch, patch_size=patch_size, in_channels=in_channels), rates, pos_embed)
        super().__init__(
            arch=arch,
            img_size=img_size,
            patch_size=patch_size,
            in_channels=in_channels,
            drop_rate=drop_rate,
            drop_path_rate=drop_path_rate,
            qkv_bias=qkv_bias,
            layer_cfgs=dict(attn_drop_rate=attn_drop_rate, act_cfg=act_cfg or dict(type='GELU')),
            **kwargs,
        )
        if pos_embed is None:
            self.pos_embed = None
        if not out_proj:
            for layer in self.layers:
                layer.attn.proj = nn.Identity()

    def init_weights(self) -> None:
        super().init_weights()
        pretrained = isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained'
        if self.pos_embed is None and self.cls_token is not None and not pretrained:
            # The parent's zeros rely on the embedding added to them: LayerNorm of a zero vector multiplies its gradient
            # by 1 / sqrt(epsilon).
            trunc_normal_(self.cls_token, std=0.02)

    def _prepare_pos_embed(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        # Without an embedding there is nothing to resize; one in the file is reported as unexpected.
        if self.pos_embed is not None:
            super()._prepare_pos_embed(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, grid_hw = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        if self.pos_embed is not None:
            x = x + resize_pos_embed(
                self.pos_embed, self.patch_resolution, grid_hw, self.interpolate_mode, self.num_extra_tokens
            )
        x = self.pre_norm(self.drop_after_pos(x))
        outputs = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == len(self.layers) - 1 and self.final_norm:
                x = self.ln1(x)
            if index in self.out_indices:
                outputs.append(self._format_output(x, grid_hw))
        return tuple(outputs)


def _check_settings(
    img_size: int | tuple[int, int], counts: dict[str, int], rates: dict[str, float], pos_embed: str | None
) -> None:
    """Refuses what mmpretrain would take in silence or answer with an error from elsewhere."""
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'{name} is {value!r}: ReportViT needs a whole number from 1')
    for name, value in rates.items():
        if not 0 <= value < 1:
            raise ValueError(f'{name} is {value!r}: a rate lies in [0, 1)')
    if pos_embed not in POSITIONS:
        raise ValueError(f"pos_embed is {pos_embed!r}: choose 'learned' or None (no position embedding)")
    channels, heads, patch = counts['embed_dims'], counts['num_heads'], counts['patch_size']
    if channels % heads:
        raise ValueError(f'num_heads {heads} does not divide embed_dims {channels}: choose a divisor')
    for side in (img_size,) if isinstance(img_size, int) else img_size:
        if side < patch or side % patch:
            raise ValueError(f'img_size {img_size} is no multiple of patch_size {patch}: choose one that is')
