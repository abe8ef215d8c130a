"""VGG weights of torchvision (arXiv:1409.1556) for mmpretrain's VGG without batch norm."""

from collections.abc import Mapping

from torch import Tensor

from mmext.common.weight_conversion import ConversionReport, Rule, WeightsError, apply_rules

# Convolutions of each of the five blocks; a max pooling stands behind each block.
BLOCKS = {'VGG11': (1, 1, 2, 2, 2), 'VGG13': (2, 2, 2, 2, 2), 'VGG16': (2, 2, 3, 3, 3), 'VGG19': (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)
FIX = "Fix: give torchvision's weights of VGG11, 13, 16 or 19, such as vgg16-397923af.pth."


def convert_vgg(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], ConversionReport]:
    """Renames the convolutions and the first two fully connected layers; the layer of the 1000 classes is left over.

    Args:
        state_dict: Of ``torchvision.models.vgg11`` to ``vgg19``.

    Returns:
        Weights for ``dict(type='VGG', depth=...)``, and what became of every tensor.

    Raises:
        WeightsError: The tensors are not those of a VGG without batch norm.
    """
    found = [name for name in state_dict if name.startswith('features.') and name.endswith('.weight')]
    archs = {sum(blocks): arch for arch, blocks in BLOCKS.items()}
    if any(state_dict[name].ndim != 4 for name in found) or len(found) not in archs:
        raise WeightsError(f'no VGG without batch norm: {len(found)} layers named features.<number>.weight. {FIX}')
    arch = archs[len(found)]
    report = ConversionReport(layout='torchvision', arch=arch)
    return apply_rules(state_dict, _rules(arch), report, _reason), report


def _rules(arch: str) -> list[Rule]:
    rules, theirs, ours, channels = [], 0, 0, 3
    for count, width in zip(BLOCKS[arch], WIDTHS, strict=True):
        for _ in range(count):
            for part, shape in (('weight', (width, channels, 3, 3)), ('bias', (width,))):
                rules.append(Rule(f'features.{ours}.conv.{part}', {f'features.{theirs}.{part}': shape}))
            theirs, ours, channels = theirs + 2, ours + 1, width  # a ReLU stands behind each convolution
        theirs, ours = theirs + 1, ours + 1
    for layer, inputs in ((0, 512 * 7 * 7), (3, 4096)):
        rules.append(Rule(f'classifier.{layer}.weight', {f'classifier.{layer}.weight': (4096, inputs)}))
        rules.append(Rule(f'classifier.{layer}.bias', {f'classifier.{layer}.bias': (4096,)}))
    return rules


def _reason(name: str) -> str:
    return 'the classes are others' if name.startswith('classifier.6.') else ''
