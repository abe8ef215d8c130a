"""Makes hf_segformer_tiny.safetensors: what Hugging Face's SegFormer computes from weights that a formula gives.

Run it where transformers is installed, which is not this project's environment: transformers 5 breaks mmpretrain.

    python tests/segmentation/converters/make_hf_golden.py tests/segmentation/converters/hf_segformer_tiny.safetensors

The file holds the features of the four stages and the logits; names and shapes of the weights are in its header. The
test makes the same weights from the same formula, so they need not be stored.
"""

import json
import math
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

WIDTHS, DEPTHS, HEADS, HEAD_WIDTH, CLASSES = [4, 8, 20, 32], [1, 2, 1, 1], [1, 2, 5, 8], 6, 5


def uniform(name: str, shape: tuple) -> np.ndarray:
    """Numbers in [-1, 1) that depend on the name and the index only: integer hashing, the same on any machine."""
    index = np.arange(math.prod(shape), dtype=np.uint64)
    mixed = (index + np.uint64(zlib.crc32(name.encode()))) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return ((mixed >> np.uint64(40)) / 2**23 - 1).astype(np.float32).reshape(shape)


def weight(name: str, shape: tuple) -> np.ndarray:
    """A weight of the size that keeps activations near one; norms get scales around one, biases are not zero."""
    if name.endswith('num_batches_tracked'):
        return np.array(7, dtype=np.int64)
    if name.endswith('running_var') or (len(shape) == 1 and name.endswith('.weight')):
        return 1 + 0.5 * uniform(name, shape)
    if len(shape) == 1:
        return 0.5 * uniform(name, shape)
    return 2 * uniform(name, shape) / math.sqrt(math.prod(shape[1:]))


def image() -> np.ndarray:
    return 2 * uniform('image', (1, 3, 64, 96))


def main(out: str) -> None:
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    config = transformers.SegformerConfig(
        hidden_sizes=WIDTHS,
        depths=DEPTHS,
        num_attention_heads=HEADS,
        decoder_hidden_size=HEAD_WIDTH,
        num_labels=CLASSES,
    )
    with tempfile.TemporaryDirectory() as folder:
        # By way of a file: the names in memory change between versions, those in files are the published ones.
        transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
        file = Path(folder, 'model.safetensors')
        shapes = {name: tuple(tensor.shape) for name, tensor in load_file(file).items()}
        save_file({name: torch.from_numpy(weight(name, s)) for name, s in shapes.items()}, file, {'format': 'pt'})
        model = transformers.SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    with torch.no_grad():
        result = model(torch.from_numpy(image()), output_hidden_states=True)
    tensors = {f'stage{n}': feature.contiguous() for n, feature in enumerate(result.hidden_states[-4:], 1)}
    tensors['logits'] = result.logits.contiguous()
    save_file(tensors, out, {'shapes': json.dumps(shapes), 'transformers': transformers.__version__})


if __name__ == '__main__':
    main(sys.argv[1])
