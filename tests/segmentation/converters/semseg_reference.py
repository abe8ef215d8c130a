"""PSPNet and PSANet under semseg's names, written from the papers with bare functions; widths scale with `BASE`."""

import torch
import torch.nn.functional as F

CLASSES, BASE, BLOCKS = 5, 4, (3, 4, 6, 3)  # 64 channels and these depths would be a ResNet-50
STEM, DEEP, HEAD = 2 * BASE, 32 * BASE, 8 * BASE
NORM = ('weight', 'bias', 'running_mean', 'running_var')
STEM_NAMES = {'whole': [(f'layer0.{n}', f'layer0.{n + 1}') for n in (0, 3, 6)]}
STEM_NAMES['alone'] = [(f'conv{n}', f'bn{n}') for n in (1, 2, 3)]


def with_norm(conv: str, norm: str, shape: tuple) -> dict[str, tuple]:
    shapes = {f'{conv}.weight': shape} | {f'{norm}.{part}': shape[:1] for part in NORM}
    return shapes | {f'{norm}.num_batches_tracked': ()}


def sequence(name: str, shape: tuple, first: int = 0) -> dict[str, tuple]:
    return with_norm(f'{name}.{first}', f'{name}.{first + 1}', shape)


def resnet_shapes(kind: str = 'whole', base: int = BASE, blocks: tuple = BLOCKS) -> dict[str, tuple]:
    shapes, before = {}, 3
    for (conv, norm), width in zip(STEM_NAMES[kind], (base, base, 2 * base), strict=True):
        shapes |= with_norm(conv, norm, (width, before, 3, 3))
        before = width
    for stage, count in enumerate(blocks, 1):
        width = base * 2 ** (stage - 1)
        for block in range(count):
            name = f'layer{stage}.{block}'
            shapes |= with_norm(f'{name}.conv1', f'{name}.bn1', (width, before, 1, 1))
            shapes |= with_norm(f'{name}.conv2', f'{name}.bn2', (width, width, 3, 3))
            shapes |= with_norm(f'{name}.conv3', f'{name}.bn3', (4 * width, width, 1, 1))
            if block == 0:
                shapes |= with_norm(f'{name}.downsample.0', f'{name}.downsample.1', (4 * width, before, 1, 1))
            before = 4 * width
    return shapes


def classifier_shapes(name: str, width: int, before: int, classes: int) -> dict[str, tuple]:
    last = {f'{name}.4.weight': (classes, width, 1, 1), f'{name}.4.bias': (classes,)}
    return sequence(name, (width, before, 3, 3)) | last


def network_shapes(
    network: str, mask_hw: tuple = (7, 7), base: int = BASE, blocks: tuple = BLOCKS, classes: int = CLASSES
) -> dict[str, tuple]:
    """Names and shapes of `'PSPNet'` or `'PSANet'`, auxiliary head included."""
    deep, head = 32 * base, 8 * base
    shapes = resnet_shapes('whole', base, blocks)
    if network == 'PSPNet':
        for level in range(4):
            shapes |= sequence(f'ppm.features.{level}', (deep // 4, deep, 1, 1), first=1)
    else:
        for branch in ('', '_p'):
            shapes |= sequence(f'psa.reduce{branch}', (head, deep, 1, 1))
            shapes |= sequence(f'psa.attention{branch}', (head, head, 1, 1))
            shapes |= {f'psa.attention{branch}.3.weight': (mask_hw[0] * mask_hw[1], head, 1, 1)}
        shapes |= sequence('psa.proj', (deep, 2 * head, 1, 1))
    return (
        shapes
        | classifier_shapes('cls', head, 2 * deep, classes)
        | classifier_shapes('aux', 4 * base, 16 * base, classes)
    )


def random_weights(shapes: dict[str, tuple], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights that keep activations small (residuals add a little), and batch norms with statistics of their own."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith('num_batches_tracked'):
            weights[name] = torch.tensor(7)
        elif len(shape) == 4:
            weights[name] = torch.randn(shape, generator=generator) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith(('running_var', 'weight')):
            gain = 0.3 if name.endswith('bn3.weight') else 1.0
            weights[name] = gain * (0.5 + torch.rand(shape, generator=generator))
        else:
            weights[name] = 0.3 * torch.randn(shape, generator=generator)
    return weights


def conv(w: dict, name: str, x: torch.Tensor, stride: int = 1, dilation: int = 1) -> torch.Tensor:
    weight = w[f'{name}.weight']
    return F.conv2d(x, weight, w.get(f'{name}.bias'), stride, dilation * (weight.shape[-1] // 2), dilation)


def norm(w: dict, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias, mean, var = (w[f'{name}.{part}'][:, None, None] for part in NORM)
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def stretch(x: torch.Tensor, size: tuple) -> torch.Tensor:
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=True)


def resnet(w: dict, x: torch.Tensor, kind: str = 'whole') -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of the last two stages, both an eighth of the image: dilated by 2 and 4 in every block."""
    for index, (name, bn) in enumerate(STEM_NAMES[kind]):
        x = norm(w, bn, conv(w, name, x, stride=2 if index == 0 else 1)).relu()
    x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    outputs = []
    for stage, (count, stride, dilation) in enumerate(zip(BLOCKS, (1, 2, 1, 1), (1, 1, 2, 4), strict=True), 1):
        for block in range(count):
            name, step = f'layer{stage}.{block}', stride if block == 0 else 1
            out = norm(w, f'{name}.bn1', conv(w, f'{name}.conv1', x)).relu()
            out = norm(w, f'{name}.bn2', conv(w, f'{name}.conv2', out, step, dilation)).relu()
            out = norm(w, f'{name}.bn3', conv(w, f'{name}.conv3', out))
            if block == 0:
                x = norm(w, f'{name}.downsample.1', conv(w, f'{name}.downsample.0', x, step))
            x = (x + out).relu()
        outputs.append(x)
    return outputs[2], outputs[3]


def pyramid(w: dict, x: torch.Tensor) -> torch.Tensor:
    """The map and its means over 1, 4, 9 and 36 cells."""
    parts = [x]
    for level, bins in enumerate((1, 2, 3, 6)):
        name = f'ppm.features.{level}'
        pooled = F.adaptive_avg_pool2d(x, bins)
        parts.append(stretch(norm(w, f'{name}.2', conv(w, f'{name}.1', pooled)).relu(), x.shape[2:]))
    return torch.cat(parts, 1)


def relative_to_absolute(scores: torch.Tensor, mask_hw: tuple, direction: str) -> torch.Tensor:
    """Scores of relative positions (B, M_h * M_w, h, w) -> matrix (B, source, target), one entry after the other."""
    (mask_h, mask_w), (batch, _, h, w) = mask_hw, scores.shape
    matrix = scores.new_zeros(batch, h * w, h * w)
    for y in range(h):
        for x in range(w):
            for row in range(h):
                for column in range(w):
                    dy, dx = row - y + mask_h // 2, column - x + mask_w // 2
                    if not (0 <= dy < mask_h and 0 <= dx < mask_w):
                        continue
                    # Position (y, x) scores position (row, column): it takes from it, or it gives to it.
                    here, there = y * w + x, row * w + column
                    source, target = (there, here) if direction == 'collect' else (here, there)
                    matrix[:, source, target] = scores[:, dy * mask_w + dx, y, x]
    return matrix


def attention(w: dict, x: torch.Tensor, mask_hw: tuple) -> torch.Tensor:
    """The map beside what its positions collect and are given, on a map of half the size."""
    small = [(side - 1) // 2 + 1 for side in x.shape[2:]]
    parts = []
    for branch, direction in (('', 'collect'), ('_p', 'distribute')):
        reduced = stretch(norm(w, f'psa.reduce{branch}.1', conv(w, f'psa.reduce{branch}.0', x)).relu(), small)
        name = f'psa.attention{branch}'
        scores = conv(w, f'{name}.3', norm(w, f'{name}.1', conv(w, f'{name}.0', reduced)).relu())
        weights = relative_to_absolute(scores, mask_hw, direction).softmax(1)
        parts.append(torch.einsum('bcs,bst->bct', reduced.flatten(2), weights).view_as(reduced))
    joined = norm(w, 'psa.proj.1', conv(w, 'psa.proj.0', torch.cat(parts, 1))).relu()
    return torch.cat([x, stretch(joined, [2 * side - 1 for side in small])], 1)


def classify(w: dict, name: str, x: torch.Tensor, size: tuple) -> torch.Tensor:
    return stretch(conv(w, f'{name}.4', norm(w, f'{name}.1', conv(w, f'{name}.0', x)).relu()), size)


def logits(w: dict, image: torch.Tensor, mask_hw: tuple = (7, 7)) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the main and of the auxiliary classifier, at the size of the image (8 n + 1; 16 n + 1 with attention)."""
    third, fourth = resnet(w, image)
    context = pyramid(w, fourth) if 'ppm.features.0.1.weight' in w else attention(w, fourth, mask_hw)
    return classify(w, 'cls', context, image.shape[2:]), classify(w, 'aux', third, image.shape[2:])
