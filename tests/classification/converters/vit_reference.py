"""Vision Transformers written out from their papers, under the names of four publishers: the oracle of test_vit.py.

Plain functions on dictionaries of arrays. Nothing here knows mmpretrain or the converter. The JAX one computes in
NumPy with the einsums of flax, whose kernels keep the heads apart.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

WIDTH, DEPTH, HEADS, HIDDEN, PATCH, GRID, CLASSES = 12, 2, 3, 20, 4, 3, 5
PX = PATCH * GRID


def random_array(name: str, shape: tuple) -> np.ndarray:
    """Other numbers for every name, scales around 1."""
    values = np.random.default_rng(list(name.encode())).normal(0, 0.3, shape)
    scale = len(shape) == 1 and name.endswith(('norm1.weight', 'norm2.weight', 'norm.weight', 'scale', 'ln.weight'))
    return (values + scale).astype(np.float32)


def fill(shapes: dict[str, tuple]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(random_array(name, shape)) for name, shape in shapes.items()}


def linear(name: str, n_out: int, n_in: int) -> dict[str, tuple]:
    return {f'{name}.weight': (n_out, n_in), f'{name}.bias': (n_out,)}


def norm(name: str) -> dict[str, tuple]:
    return {f'{name}.weight': (WIDTH,), f'{name}.bias': (WIDTH,)}


def conv(name: str) -> dict[str, tuple]:
    return {f'{name}.weight': (WIDTH, 3, PATCH, PATCH), f'{name}.bias': (WIDTH,)}


def timm_shapes(distilled: bool = False, representation: int = 0) -> dict[str, tuple]:
    extra = 2 if distilled else 1
    shapes = {'cls_token': (1, 1, WIDTH), 'pos_embed': (1, extra + GRID**2, WIDTH), **conv('patch_embed.proj')}
    for n in range(DEPTH):
        block = f'blocks.{n}'
        shapes |= norm(f'{block}.norm1') | linear(f'{block}.attn.qkv', 3 * WIDTH, WIDTH)
        shapes |= linear(f'{block}.attn.proj', WIDTH, WIDTH) | norm(f'{block}.norm2')
        shapes |= linear(f'{block}.mlp.fc1', HIDDEN, WIDTH) | linear(f'{block}.mlp.fc2', WIDTH, HIDDEN)
    shapes |= norm('norm') | linear('head', CLASSES, representation or WIDTH)
    if representation:
        shapes |= linear('pre_logits.fc', representation, WIDTH)
    if distilled:
        shapes |= {'dist_token': (1, 1, WIDTH), **linear('head_dist', CLASSES, WIDTH)}
    return shapes


def hugging_face_shapes(prefix: str = 'vit.', distilled: bool = False) -> dict[str, tuple]:
    extra = 2 if distilled else 1
    shapes = {
        f'{prefix}embeddings.cls_token': (1, 1, WIDTH),
        f'{prefix}embeddings.position_embeddings': (1, extra + GRID**2, WIDTH),
        **conv(f'{prefix}embeddings.patch_embeddings.projection'),
    }
    for n in range(DEPTH):
        layer = f'{prefix}encoder.layer.{n}'
        for part in ('query', 'key', 'value'):
            shapes |= linear(f'{layer}.attention.attention.{part}', WIDTH, WIDTH)
        shapes |= linear(f'{layer}.attention.output.dense', WIDTH, WIDTH)
        shapes |= linear(f'{layer}.intermediate.dense', HIDDEN, WIDTH) | linear(f'{layer}.output.dense', WIDTH, HIDDEN)
        shapes |= norm(f'{layer}.layernorm_before') | norm(f'{layer}.layernorm_after')
    shapes |= norm(f'{prefix}layernorm')
    if distilled:
        shapes |= {f'{prefix}embeddings.distillation_token': (1, 1, WIDTH)}
        return shapes | linear('cls_classifier', CLASSES, WIDTH) | linear('distillation_classifier', CLASSES, WIDTH)
    return shapes | linear('classifier', CLASSES, WIDTH)


def jax_shapes(prefix: str = '', representation: int = 0) -> dict[str, tuple]:
    per_head = (HEADS, WIDTH // HEADS)

    def dense(name: str, n_in: int, n_out: int) -> dict[str, tuple]:
        return {f'{name}/kernel': (n_in, n_out), f'{name}/bias': (n_out,)}

    def layer_norm(name: str) -> dict[str, tuple]:
        return {f'{name}/scale': (WIDTH,), f'{name}/bias': (WIDTH,)}

    shapes = {
        'cls': (1, 1, WIDTH),
        'embedding/kernel': (PATCH, PATCH, 3, WIDTH),
        'embedding/bias': (WIDTH,),
        'Transformer/posembed_input/pos_embedding': (1, 1 + GRID**2, WIDTH),
    }
    for n in range(DEPTH):
        block = f'Transformer/encoderblock_{n}'
        attention = f'{block}/MultiHeadDotProductAttention_1'
        shapes |= layer_norm(f'{block}/LayerNorm_0') | layer_norm(f'{block}/LayerNorm_2')
        for part in ('query', 'key', 'value'):
            shapes |= {f'{attention}/{part}/kernel': (WIDTH, *per_head), f'{attention}/{part}/bias': per_head}
        shapes |= {f'{attention}/out/kernel': (*per_head, WIDTH), f'{attention}/out/bias': (WIDTH,)}
        shapes |= dense(f'{block}/MlpBlock_3/Dense_0', WIDTH, HIDDEN)
        shapes |= dense(f'{block}/MlpBlock_3/Dense_1', HIDDEN, WIDTH)
    shapes |= layer_norm('Transformer/encoder_norm') | dense('head', representation or WIDTH, CLASSES)
    if representation:
        shapes |= dense('pre_logits', WIDTH, representation)
    return {prefix + name: shape for name, shape in shapes.items()}


def timm_forward(w: dict[str, Tensor], images: Tensor) -> Tensor:
    """Logits (B, classes); the mean of both heads where there is a distillation token."""

    def apply(name: str, x: Tensor) -> Tensor:
        return x @ w[f'{name}.weight'].T + w[f'{name}.bias']

    def normed(name: str, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-6).sqrt() * w[f'{name}.weight'] + w[f'{name}.bias']

    patches = F.conv2d(images, w['patch_embed.proj.weight'], w['patch_embed.proj.bias'], stride=PATCH)
    tokens = [w[name].expand(len(images), 1, -1) for name in ('cls_token', 'dist_token') if name in w]
    x = torch.cat([*tokens, patches.flatten(2).mT], 1) + w['pos_embed']
    for n in range(DEPTH):
        block = f'blocks.{n}'
        q, k, v = apply(f'{block}.attn.qkv', normed(f'{block}.norm1', x)).chunk(3, -1)
        heads = []
        for q1, k1, v1 in zip(q.chunk(HEADS, -1), k.chunk(HEADS, -1), v.chunk(HEADS, -1), strict=True):
            heads.append((q1 @ k1.mT / q1.shape[-1] ** 0.5).softmax(-1) @ v1)
        x = x + apply(f'{block}.attn.proj', torch.cat(heads, -1))
        x = x + apply(f'{block}.mlp.fc2', F.gelu(apply(f'{block}.mlp.fc1', normed(f'{block}.norm2', x))))
    x = normed('norm', x)
    if 'dist_token' in w:
        return (apply('head', x[:, 0]) + apply('head_dist', x[:, 1])) / 2
    x = apply('pre_logits.fc', x[:, 0]).tanh() if 'pre_logits.fc.weight' in w else x[:, 0]
    return apply('head', x)


def hugging_face_forward(w: dict[str, Tensor], images: Tensor, eps: float = 1e-12) -> Tensor:
    """Logits (B, classes) of ViTForImageClassification, or of DeiT's with its teacher; prefix 'vit.' or 'deit.'."""
    root = 'deit.' if any(name.startswith('deit.') for name in w) else 'vit.'

    def dense(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f'{name}.weight'], w[f'{name}.bias'])

    def layer_norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (WIDTH,), w[f'{name}.weight'], w[f'{name}.bias'], eps)

    def split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], HEADS, WIDTH // HEADS).transpose(1, 2)

    projection = f'{root}embeddings.patch_embeddings.projection'
    x = F.conv2d(images, w[f'{projection}.weight'], w[f'{projection}.bias'], stride=PATCH).flatten(2).transpose(1, 2)
    for token in ('distillation_token', 'cls_token'):
        if f'{root}embeddings.{token}' in w:
            x = torch.cat([w[f'{root}embeddings.{token}'].expand(len(x), -1, -1), x], 1)
    x = x + w[f'{root}embeddings.position_embeddings']
    for n in range(DEPTH):
        layer = f'{root}encoder.layer.{n}'
        y = layer_norm(f'{layer}.layernorm_before', x)
        q, k, v = (split(dense(f'{layer}.attention.attention.{part}', y)) for part in ('query', 'key', 'value'))
        weights = torch.softmax(q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5, -1)
        y = (weights @ v).transpose(1, 2).reshape(x.shape)
        x = dense(f'{layer}.attention.output.dense', y) + x
        y = F.gelu(dense(f'{layer}.intermediate.dense', layer_norm(f'{layer}.layernorm_after', x)))
        x = dense(f'{layer}.output.dense', y) + x
    x = layer_norm(f'{root}layernorm', x)
    if root == 'deit.':
        return (dense('cls_classifier', x[:, 0]) + dense('distillation_classifier', x[:, 1])) / 2
    return dense('classifier', x[:, 0])


def jax_forward(w: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Logits (B, classes) of pictures (B, H, W, 3), in double precision."""
    w = {name: array.astype(np.float64) for name, array in w.items()}

    def layer_norm(name: str, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * w[f'{name}/scale'] + w[f'{name}/bias']

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f'{name}/kernel'] + w[f'{name}/bias']

    def gelu(x: np.ndarray) -> np.ndarray:
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    count, rows, columns, _ = images.shape
    patches = images.reshape(count, rows // PATCH, PATCH, columns // PATCH, PATCH, 3)
    x = np.einsum('bypxqc,pqcd->byxd', patches, w['embedding/kernel']) + w['embedding/bias']
    x = x.reshape(count, -1, WIDTH)
    x = np.concatenate([np.tile(w['cls'], (count, 1, 1)), x], 1) + w['Transformer/posembed_input/pos_embedding']
    for n in range(DEPTH):
        block = f'Transformer/encoderblock_{n}'
        attention = f'{block}/MultiHeadDotProductAttention_1'
        y = layer_norm(f'{block}/LayerNorm_0', x)
        q, k, v = (
            np.einsum('btd,dhe->bthe', y, w[f'{attention}/{part}/kernel']) + w[f'{attention}/{part}/bias']
            for part in ('query', 'key', 'value')
        )
        weights = np.exp(np.einsum('bqhe,bkhe->bhqk', q, k) / np.sqrt(WIDTH / HEADS))
        weights /= weights.sum(-1, keepdims=True)
        y = np.einsum('bhqk,bkhe->bqhe', weights, v)
        x = x + np.einsum('bqhe,hed->bqd', y, w[f'{attention}/out/kernel']) + w[f'{attention}/out/bias']
        y = gelu(dense(f'{block}/MlpBlock_3/Dense_0', layer_norm(f'{block}/LayerNorm_2', x)))
        x = x + dense(f'{block}/MlpBlock_3/Dense_1', y)
    x = layer_norm('Transformer/encoder_norm', x)[:, 0]
    if 'pre_logits/kernel' in w:
        x = np.tanh(dense('pre_logits', x))
    return dense('head', x)
