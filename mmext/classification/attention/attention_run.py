"""From pictures to files: what a model attends to in each of them, written below one folder."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmext.classification.attention.attention_model import AttentionModel, NetworkInput
from mmext.classification.attention.capture import CapturedAttention, LayerCheck, capture_attention
from mmext.classification.attention.figures import contact_sheet, distance_figure, heads_figure, position_figure
from mmext.classification.attention.pictures import STYLES, styled
from mmext.classification.attention.position_similarity import (
    position_embedding,
    position_similarity,
    similarity_picture,
)
from mmext.classification.attention.rollout import (
    answer_map,
    gradient_rollout,
    mean_distance,
    query_maps,
    resized,
    rollout,
    scaled,
)
from mmext.common.figures import save_figure
from mmext.common.files import replacing, write_json
from mmext.common.prediction.inputs import output_names
from mmext.common.prediction.predictor import UnreadableImageError

KINDS = ('rollout', 'grad', 'heads', 'position', 'distance')
# More inputs than that make no sheet that can be read.
SHEET_MOST = 36
_SHEET_SIDE = 256


@dataclass(frozen=True)
class AttentionSettings:
    """What to show.

    Attributes:
        kinds: Of ``KINDS``.
        heads: How a rollout makes one of a layer's heads: 'mean', 'max' or 'min'.
        query: Row and column of the patch whose attention ``heads`` shows; None takes the middle one.
        layers: Which layers ``heads`` shows, from 0, negative ones from the end; empty shows all.
        target: Class of ``grad``; None takes each picture's best one.
        smooth: Resize maps bilinearly; otherwise each patch is a block.
        log: ``heads`` shows logarithms: q·k/√d up to a constant of each map.
    """

    kinds: tuple[str, ...] = ('rollout',)
    heads: str = 'mean'
    query: tuple[int, int] | None = None
    layers: tuple[int, ...] = ()
    target: int | None = None
    smooth: bool = True
    log: bool = False


@dataclass
class AttentionOutcome:
    """What came out of a run.

    Attributes:
        checks: Of each layer, the largest differences over all pictures.
        skipped: Attention layers that work on other tokens.
        images: ``image``, ``grid_hw`` and, of a classifier, ``predicted`` and ``probability``; ``target`` of grad.
        unreadable: ``image`` and ``reason``.
        files: Everything written.
        flat: Kind and picture of maps without any difference between patches.
        distances_px: (L, H), mean over pictures; None if not asked for.
    """

    checks: list[LayerCheck] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    images: list[dict] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    distances_px: np.ndarray | None = None


def show_attention(
    model: AttentionModel, paths: Sequence[Path], out: Path, settings: AttentionSettings, header: dict | None = None
) -> AttentionOutcome:
    """Capture the attention of a model on pictures and write what the settings ask for.

    Written are ``<kind>/<name>_<style>.png`` and ``<kind>_sheet.png`` of rollout and grad, ``heads/<name>.png``,
    ``position.png``, ``distance.png`` and ``attention.json`` with the numbers. Files that cannot be read are left out
    and listed.

    Args:
        paths: Pictures without repetition; may be empty if only ``position`` is wanted.
        out: Folder, made if missing.
        header: First entries of ``attention.json``.

    Raises:
        ValueError: as of `capture_attention`, or a setting that does not fit the model; names the picture.
    """
    outcome = AttentionOutcome()
    sheets: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
    distances = []
    # First, because it needs no picture.
    if 'position' in settings.kinds:
        _write_position(model, out, outcome)
    for path, name in zip(paths, output_names(paths), strict=True):
        try:
            shown = model.read(path)
        except UnreadableImageError as error:
            outcome.unreadable.append({'image': path.as_posix(), 'reason': str(error)})
            continue
        try:
            captured = capture_attention(model.model, shown.inputs, 'grad' in settings.kinds, settings.target)
            for kind, values in _maps(captured, settings):
                if not values.any():
                    outcome.flat.append(f'{kind} of {path}')
                _write_styles(out / kind, name, shown.picture, values, outcome)
                sheets.setdefault(kind, []).append((name, *_small(shown.picture, values)))
            if 'heads' in settings.kinds:
                _write_heads(out / 'heads' / f'{name}.png', shown, captured, settings, outcome)
        except ValueError as error:
            raise type(error)(f'{path}: {error}') from error
        if 'distance' in settings.kinds:
            distances.append(
                torch.cat([mean_distance(layer, captured.grid) for layer in captured.weights]).cpu().numpy()
            )
        _note(outcome, path, captured)
    for kind, entries in sheets.items():
        _write_sheet(out / f'{kind}_sheet.png', entries, outcome)
    if distances:
        outcome.distances_px = np.mean(distances, 0)
        _save(distance_figure(outcome.distances_px, math.hypot(*captured.grid.input_hw)), out / 'distance.png', outcome)
    write_json(out / 'attention.json', {**(header or {}), **_document(outcome)})
    outcome.files.append(out / 'attention.json')
    return outcome


def _maps(captured: CapturedAttention, settings: AttentionSettings) -> Iterator[tuple[str, np.ndarray]]:
    """(kind, (H, W) map in 0..1) of the first picture of the batch."""
    flows: dict[str, Tensor] = {}
    if 'rollout' in settings.kinds:
        flows['rollout'] = rollout(captured.weights, settings.heads)
    if 'grad' in settings.kinds:
        flows['grad'] = gradient_rollout(captured.weights, captured.gradients)
    for kind, flow in flows.items():
        values = scaled(answer_map(flow, captured.grid))
        yield kind, resized(values, captured.grid.input_hw, settings.smooth)[0].cpu().numpy()


def _write_styles(folder: Path, name: str, picture: np.ndarray, values: np.ndarray, outcome: AttentionOutcome) -> None:
    for style in STYLES:
        path = folder / f'{name}_{style}.png'
        with replacing(path) as unfinished:
            Image.fromarray(styled(style, picture, values)).save(unfinished, 'PNG', compress_level=1)
        outcome.files.append(path)


def _small(picture: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both small enough to keep those of a sheet in memory."""
    factor = min(1.0, _SHEET_SIDE / max(picture.shape[:2]))
    if factor == 1:
        return picture, values
    size = tuple(max(1, round(side * factor)) for side in picture.shape[1::-1])
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.resize(
        values, size, interpolation=cv2.INTER_AREA
    )


def _write_sheet(path: Path, entries: list[tuple[str, np.ndarray, np.ndarray]], outcome: AttentionOutcome) -> None:
    entries = entries[:SHEET_MOST]
    rows = {'original': [picture for _, picture, _ in entries]}
    for style in STYLES:
        rows[style] = [styled(style, picture, values) for _, picture, values in entries]
    _save(contact_sheet(rows, [name for name, _, _ in entries]), path, outcome)


def _write_heads(
    path: Path, shown: NetworkInput, captured: CapturedAttention, settings: AttentionSettings, outcome: AttentionOutcome
) -> None:
    grid, count = captured.grid, len(captured.weights)
    row, column = settings.query or (grid.size_hw[0] // 2, grid.size_hw[1] // 2)
    chosen = settings.layers or tuple(range(count))
    if wrong := [layer for layer in chosen if not -count <= layer < count]:
        raise ValueError(f'layer {wrong[0]}: the model has {count}, 0 to {count - 1}')
    indices = [layer % count for layer in chosen]
    maps = [query_maps(captured.weights[layer], grid, row, column, settings.log)[0].cpu().numpy() for layer in indices]
    height, width = grid.patch_hw
    patch = (column * width - 0.5, row * height - 0.5, width, height)
    _save(heads_figure(maps, [f'layer {layer}' for layer in indices], shown.picture, patch), path, outcome)


def _write_position(model: AttentionModel, out: Path, outcome: AttentionOutcome) -> None:
    similarity = position_similarity(position_embedding(model.model))
    figure = position_figure(similarity_picture(similarity).numpy(), tuple(similarity.shape[:2]))
    _save(figure, out / 'position.png', outcome)


def _save(figure, path: Path, outcome: AttentionOutcome) -> None:
    save_figure(figure, path, dpi=130)
    outcome.files.append(path)


def _note(outcome: AttentionOutcome, path: Path, captured: CapturedAttention) -> None:
    # The larger of two differences, whichever picture it comes from.
    known = {check.name: check for check in outcome.checks}
    outcome.checks = [
        LayerCheck(
            check.name,
            max(check.difference, known.get(check.name, check).difference),
            max(check.relative, known.get(check.name, check).relative),
        )
        for check in captured.checks
    ]
    outcome.skipped = captured.skipped
    record = {'image': path.as_posix(), 'grid_hw': list(captured.grid.size_hw)}
    if isinstance(captured.output, Tensor) and captured.output.ndim == 2:
        probability, predicted = captured.output[0].softmax(0).max(0)
        record |= {'predicted': int(predicted), 'probability': float(probability)}
    if captured.target is not None:
        record['target'] = int(captured.target[0])
    outcome.images.append(record)


def describe(outcome: AttentionOutcome) -> Iterator[str]:
    """Lines of what a run found: the check of every layer, and what a reader must know about the maps."""
    if outcome.checks:
        yield "explicit attention against each layer's output: largest difference, and as part of the largest value"
    for check in outcome.checks:
        yield f'  {check.name:<32} {check.difference:9.2e} {check.relative:9.2e}'
    for name in outcome.skipped:
        yield f'note: {name} works on other tokens and is left out'
    if outcome.flat:
        more = f' and {len(outcome.flat) - 1} more' if len(outcome.flat) > 1 else ''
        yield f'note: {outcome.flat[0]}{more}: the same for all patches, so black; a head of zeros has no gradient'


def _document(outcome: AttentionOutcome) -> dict:
    layers = [check._asdict() for check in outcome.checks]
    if outcome.distances_px is not None:
        for layer, values in zip(layers, outcome.distances_px.tolist(), strict=True):
            layer['mean_distance_px'] = values
    return {
        'layers': layers,
        'skipped_layers': outcome.skipped,
        'images': outcome.images,
        'unreadable': outcome.unreadable,
    }
