"""What the parts of a loss, and lines of logs, are called: the same in logs and figures, in training and validation."""

from collections.abc import Mapping

# Faster R-CNN and its kin: the terms of region proposals and of regions, as toolbox -> figure.
TWO_STAGE_NAMES = dict(loss_rpn_cls='rpn_cls', loss_rpn_bbox='rpn_loc', loss_cls='roi_cls', loss_bbox='roi_loc')
TOTAL = 'total'
# Of a line to which mmengine gives a step alone: 'train' or 'val', where it was written.
MODE = 'mode'


def loss_name(key: str, names: Mapping[str, str] | None = None) -> str:
    """Name of one term: what ``names`` says, else ``total`` for ``loss``, else the key without a leading ``loss_``."""
    if names and key in names:
        return names[key]
    return TOTAL if key == 'loss' else key.removeprefix('loss_')
