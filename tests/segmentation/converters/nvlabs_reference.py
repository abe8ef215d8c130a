"""The SegFormer authors' names and forward pass, written from the paper (arXiv:2105.15203) with bare functions."""

import math

import torch
import torch.nn.functional as F

from mmext.segmentation.converters.mit_sizes import NUM_HEADS, MitSizes

CLASSES, HEAD_WIDTH = 5, 6


def backbone_shapes(sizes: MitSizes) -> dict[str, tuple]:
    """Names and shapes of the authors' backbone."""
    shapes, channels = {}, sizes.in_channels
    for n, (dim, depth, patch, ratio) in enumerate(
        zip(sizes.dims, sizes.depths, sizes.patch_sizes, sizes.sr_ratios, strict=True), 1
    ):
        shapes |= {f'patch_embed{n}.proj.weight': (dim, channels, patch, patch), f'patch_embed{n}.proj.bias': (dim,)}
        shapes |= {f'patch_embed{n}.norm.weight': (dim,), f'patch_embed{n}.norm.bias': (dim,)}
        for b in range(depth):
            layers = {'norm1': (dim,), 'attn.q': (dim, dim), 'attn.kv': (2 * dim, dim), 'attn.proj': (dim, dim)}
            if ratio > 1:
                layers |= {'attn.sr': (dim, dim, ratio, ratio), 'attn.norm': (dim,)}
            layers |= {'norm2': (dim,), 'mlp.fc1': (4 * dim, dim), 'mlp.dwconv.dwconv': (4 * dim, 1, 3, 3)}
            layers |= {'mlp.fc2': (dim, 4 * dim)}
            for layer, shape in layers.items():
                shapes |= {f'block{n}.{b}.{layer}.weight': shape, f'block{n}.{b}.{layer}.bias': shape[:1]}
        shapes |= {f'norm{n}.weight': (dim,), f'norm{n}.bias': (dim,)}
        channels = dim
    return shapes


def head_shapes(sizes: MitSizes) -> dict[str, tuple]:
    """Names and shapes of the authors' head, the unused layer that it inherits included."""
    shapes = {'conv_seg.weight': (CLASSES, 3, 1, 1), 'conv_seg.bias': (CLASSES,)}
    for n, dim in enumerate(sizes.dims, 1):
        shapes |= {f'linear_c{n}.proj.weight': (HEAD_WIDTH, dim), f'linear_c{n}.proj.bias': (HEAD_WIDTH,)}
    shapes |= {'linear_fuse.conv.weight': (HEAD_WIDTH, 4 * HEAD_WIDTH, 1, 1), 'linear_fuse.bn.num_batches_tracked': ()}
    shapes |= {f'linear_fuse.bn.{k}': (HEAD_WIDTH,) for k in ('weight', 'bias', 'running_mean', 'running_var')}
    return shapes | {'linear_pred.weight': (CLASSES, HEAD_WIDTH, 1, 1), 'linear_pred.bias': (CLASSES,)}


def features(w: dict, image: torch.Tensor, sizes: MitSizes) -> list[torch.Tensor]:
    """The encoder of arXiv:2105.15203, section 3.1, on bare tensors; layer-norm epsilons as the authors set them."""

    def linear(x, name):
        return x @ w[f'{name}.weight'].T + w[f'{name}.bias']

    def norm(x, name, eps):
        centred = x - x.mean(-1, keepdim=True)
        return (
            centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * w[f'{name}.weight'] + w[f'{name}.bias']
        )

    def conv(x, name, **kwargs):
        return F.conv2d(x, w[f'{name}.weight'], w[f'{name}.bias'], **kwargs)

    outputs, x = [], image
    for n, (dim, ratio, heads) in enumerate(zip(sizes.dims, sizes.sr_ratios, NUM_HEADS, strict=True), 1):
        patch = sizes.patch_sizes[n - 1]
        x = conv(x, f'patch_embed{n}.proj', stride=4 if n == 1 else 2, padding=patch // 2)
        height, width = x.shape[2:]
        to_map = lambda tokens, h=height, w=width: tokens.transpose(1, 2).unflatten(2, (h, w))  # noqa: E731
        x = norm(x.flatten(2).transpose(1, 2), f'patch_embed{n}.norm', 1e-5)
        for b in range(sizes.depths[n - 1]):
            block = f'block{n}.{b}'
            tokens = context = norm(x, f'{block}.norm1', 1e-6)
            if ratio > 1:
                context = conv(to_map(tokens), f'{block}.attn.sr', stride=ratio).flatten(2).transpose(1, 2)
                context = norm(context, f'{block}.attn.norm', 1e-5)
            key, value = linear(context, f'{block}.attn.kv').split(dim, dim=-1)
            query = linear(tokens, f'{block}.attn.q')
            out = torch.empty_like(query)
            for head in range(heads):
                part = slice(head * dim // heads, (head + 1) * dim // heads)
                scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(dim // heads)
                out[..., part] = scores.softmax(-1) @ value[..., part]
            x = x + linear(out, f'{block}.attn.proj')
            hidden = to_map(linear(norm(x, f'{block}.norm2', 1e-6), f'{block}.mlp.fc1'))
            hidden = conv(hidden, f'{block}.mlp.dwconv.dwconv', padding=1, groups=4 * dim).flatten(2).transpose(1, 2)
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            x = x + linear(hidden, f'{block}.mlp.fc2')
        x = to_map(norm(x, f'norm{n}', 1e-6))
        outputs.append(x)
    return outputs


def logits(w: dict, features: list[torch.Tensor]) -> torch.Tensor:
    """The authors' all-MLP head; stages are joined coarsest first."""
    joined = []
    for n in (4, 3, 2, 1):
        x = features[n - 1].movedim(1, -1) @ w[f'linear_c{n}.proj.weight'].T + w[f'linear_c{n}.proj.bias']
        size = features[0].shape[2:]
        joined.append(F.interpolate(x.movedim(-1, 1), size=size, mode='bilinear', align_corners=False))
    x = F.conv2d(torch.cat(joined, 1), w['linear_fuse.conv.weight'])
    bn = {k: w[f'linear_fuse.bn.{k}'][:, None, None] for k in ('weight', 'bias', 'running_mean', 'running_var')}
    x = (x - bn['running_mean']) / (bn['running_var'] + 1e-5).sqrt() * bn['weight'] + bn['bias']
    return F.conv2d(x.relu(), w['linear_pred.weight'], w['linear_pred.bias'])
