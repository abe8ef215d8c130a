"""DeepLabV3+ MobileNetV2 under VainF's names, written from the papers with bare functions; output stride 16."""

import torch
import torch.nn.functional as F

NORM = ('weight', 'bias', 'running_mean', 'running_var')
# Expansion, inputs, outputs, stride and dilation of blocks 1 to 17. Stages 6 and 7 keep the stride of 16: the first
# block of stage 6 is not dilated yet, everything behind it is, by 2.
BLOCKS = [
    (1, 32, 16, 1, 1),
    *((6, 16, 24, 2, 1), (6, 24, 24, 1, 1)),
    *((6, 24, 32, 2, 1), (6, 32, 32, 1, 1), (6, 32, 32, 1, 1)),
    *((6, 32, 64, 2, 1), (6, 64, 64, 1, 1), (6, 64, 64, 1, 1), (6, 64, 64, 1, 1)),
    *((6, 64, 96, 1, 1), (6, 96, 96, 1, 1), (6, 96, 96, 1, 1)),
    *((6, 96, 160, 1, 1), (6, 160, 160, 1, 2), (6, 160, 160, 1, 2)),
    (6, 160, 320, 1, 2),
]
BRANCHES = [(1, 1), (3, 6), (3, 12), (3, 18)]  # kernel and dilation


def with_norm(conv: str, norm: str, shape: tuple) -> dict[str, tuple]:
    shapes = {f'{conv}.weight': shape} | {f'{norm}.{part}': shape[:1] for part in NORM}
    return shapes | {f'{norm}.num_batches_tracked': ()}


def name_of(index: int) -> str:
    return f'backbone.{"low" if index < 4 else "high"}_level_features.{index}'


def network_shapes(classes: int = 19) -> dict[str, tuple]:
    shapes = with_norm(f'{name_of(0)}.0', f'{name_of(0)}.1', (32, 3, 3, 3))
    for index, (expansion, before, width, _, _) in enumerate(BLOCKS, 1):
        name, hidden, place = f'{name_of(index)}.conv', expansion * before, 0
        if expansion > 1:
            shapes |= with_norm(f'{name}.0.0', f'{name}.0.1', (hidden, before, 1, 1))
            place = 1
        shapes |= with_norm(f'{name}.{place}.0', f'{name}.{place}.1', (hidden, 1, 3, 3))
        shapes |= with_norm(f'{name}.{place + 1}', f'{name}.{place + 2}', (width, hidden, 1, 1))
    shapes |= with_norm('classifier.project.0', 'classifier.project.1', (48, 24, 1, 1))
    for branch, (size, _) in enumerate(BRANCHES):
        name = f'classifier.aspp.convs.{branch}'
        shapes |= with_norm(f'{name}.0', f'{name}.1', (256, 320, size, size))
    shapes |= with_norm('classifier.aspp.convs.4.1', 'classifier.aspp.convs.4.2', (256, 320, 1, 1))
    shapes |= with_norm('classifier.aspp.project.0', 'classifier.aspp.project.1', (256, 1280, 1, 1))
    shapes |= with_norm('classifier.classifier.0', 'classifier.classifier.1', (256, 304, 3, 3))
    return shapes | {'classifier.classifier.3.weight': (classes, 256, 1, 1), 'classifier.classifier.3.bias': (classes,)}


def random_weights(shapes: dict[str, tuple], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights that keep activations near 1, and batch norms with statistics of their own."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith('num_batches_tracked'):
            weights[name] = torch.tensor(7)
        elif len(shape) == 4:
            weights[name] = torch.randn(shape, generator=generator) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith(('running_var', 'weight')):
            weights[name] = 0.5 + torch.rand(shape, generator=generator)
        else:
            weights[name] = 0.3 * torch.randn(shape, generator=generator)
    return weights


def norm(w: dict, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias, mean, var = (w[f'{name}.{part}'][:, None, None] for part in NORM)
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def conv_norm(w: dict, conv: str, bn: str, x: torch.Tensor, **kwargs) -> torch.Tensor:
    return norm(w, bn, F.conv2d(x, w[f'{conv}.weight'], **kwargs))


def features(w: dict, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of blocks 3 and 17. The stem does not pad; blocks pad before they expand."""
    x = conv_norm(w, f'{name_of(0)}.0', f'{name_of(0)}.1', x, stride=2).clamp(0, 6)
    low = x
    for index, (expansion, before, width, stride, dilation) in enumerate(BLOCKS, 1):
        name, place = f'{name_of(index)}.conv', 0
        out = F.pad(x, [dilation] * 4)
        if expansion > 1:
            out = conv_norm(w, f'{name}.0.0', f'{name}.0.1', out).clamp(0, 6)
            place = 1
        settings = dict(stride=stride, dilation=dilation, groups=expansion * before)
        out = conv_norm(w, f'{name}.{place}.0', f'{name}.{place}.1', out, **settings).clamp(0, 6)
        out = conv_norm(w, f'{name}.{place + 1}', f'{name}.{place + 2}', out)
        x = x + out if stride == 1 and before == width else out
        if index == 3:
            low = x
    return low, x


def stretch(x: torch.Tensor, size: tuple) -> torch.Tensor:
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)


def logits(w: dict, image: torch.Tensor) -> torch.Tensor:
    """At the size of the image."""
    low, high = features(w, image)
    parts = []
    for branch, (size, dilation) in enumerate(BRANCHES):
        name = f'classifier.aspp.convs.{branch}'
        padding = dilation if size == 3 else 0
        parts.append(conv_norm(w, f'{name}.0', f'{name}.1', high, padding=padding, dilation=dilation).relu())
    name = 'classifier.aspp.convs.4'
    pooled = conv_norm(w, f'{name}.1', f'{name}.2', high.mean((2, 3), keepdim=True)).relu()
    parts.append(stretch(pooled, high.shape[2:]))
    name = 'classifier.aspp.project'
    context = stretch(conv_norm(w, f'{name}.0', f'{name}.1', torch.cat(parts, 1)).relu(), low.shape[2:])
    reduced = conv_norm(w, 'classifier.project.0', 'classifier.project.1', low).relu()
    name = 'classifier.classifier'
    joined = conv_norm(w, f'{name}.0', f'{name}.1', torch.cat([reduced, context], 1), padding=1).relu()
    return stretch(F.conv2d(joined, w[f'{name}.3.weight'], w[f'{name}.3.bias']), image.shape[2:])
