"""Predictions of a few images at an early, a middle and the final stage of training, in one figure (dlcv report)."""

import difflib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import mmcv
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, autocast
from mmseg.registry import HOOKS

from mmext.common.figures import save_figure
from mmext.common.undisturbed import evaluating, random_state_kept
from mmext.segmentation.datasets.label_encoding import read_mask, write_mask
from mmext.segmentation.evaluation.stage_figure import StageRow, stage_figure, to_rgb

FOLDER = 'stage_pictures'
PICTURE = 'stages.png'
TRUTH = 'truth'


@HOOKS.register_module()
class StagePictureHook(Hook):
    """Keeps what chosen images are predicted as at chosen points of the training and composes one figure of it.

    Rows are images; columns are the input, the stages and the ground truth. Below each prediction stands that image's
    mIoU in percent, over the classes that its truth or that prediction holds. A config switches it on with::

        custom_hooks = [
            dict(type='RunSummaryHook'),
            dict(type='StagePictureHook', stages=(1, 6, 15), images=('0010_sat', '0097_sat', '0107_sat')),
        ]

    Where a stage is followed by a validation, the predictions are those that are scored there. Otherwise - and for
    images that other processes of a distributed run validate - the main process predicts the chosen images alone, with
    the pipeline of the validation set, and leaves modes and random numbers as they were: the training goes on as if
    the hook were not there. Weights averaged by an `EMAHook` are seen at validations only.

    Files, all in `<work dir>/stage_pictures`: `stages.png`, composed anew at every stage, so that a run that ends early
    or is killed leaves what there is; and the label maps, `epoch_<n>/<image>.png` and `truth/<image>.png`, which a
    resumed run reads. A run that starts anew removes maps of stages that it has still to reach. At the end the figure
    also goes to the visualizer's backends (`stages_of_training`), and the log names stages that were not reached.

    Args:
        stages: Numbers of epochs or iterations, rising, counted from 1; or name -> number,
            `dict(early=1, middle=6, final=15)`.
        images: File names of the validation set without suffix; empty for its first ones.
        num_images: How many of the first ones; images of the same file name are taken once.
        by_epoch: Stages are epochs, which needs an epoch-based loop; False: iterations.
        mix: Share of the class colour in a coloured pixel, 0 to 1; the rest is the frame.

    Raises:
        ValueError: at once for stages that do not rise; before training for an image that is not in the validation set
            or has a namesake there, for epochs in an iteration-based loop, or if there is no validation set.
    """

    # Before EMAHook takes the averaged weights out of the model again.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self,
        stages: Sequence[int] | Mapping[str, int] = (1, 6, 15),
        images: Sequence[str] = (),
        num_images: int = 3,
        by_epoch: bool = True,
        mix: float = 1.0,
    ) -> None:
        self.unit = 'epoch' if by_epoch else 'iteration'
        self.stages = stage_titles(stages, self.unit)
        if not 0 <= mix <= 1:
            raise ValueError(f'mix={mix}: the share of the class colour lies between 0 and 1')
        if not images and num_images < 1:
            raise ValueError(f'num_images={num_images}: at least one image, or name them in images')
        self.images = tuple(images)
        self.num_images = num_images
        self.mix = mix
        self._chosen: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._due: int | None = None

    def before_train(self, runner) -> None:
        if runner.val_loop is None:
            raise ValueError('StagePictureHook shows images of the validation set: the config needs val_dataloader')
        if self.unit == 'epoch' and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                f'StagePictureHook: {type(runner.train_loop).__name__} counts no epochs; '
                f'give stages in iterations with by_epoch=False'
            )
        dataset = runner.val_dataloader.dataset
        paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
        self._chosen = choose_images(paths, self.images, self.num_images)
        self._names = {paths[index]: name for name, index in self._chosen.items()}
        progress = runner.epoch if self.unit == 'epoch' else runner.iter
        if is_main_process():
            forget_later_maps(self._folder(runner), self.unit, progress)
        # Resumed from a checkpoint of this very point, with the run killed before its maps were written.
        self._due = progress if progress in self.stages and self._unkept(runner, progress) else None

    def after_train_epoch(self, runner) -> None:
        if self.unit == 'epoch' and runner.epoch + 1 in self.stages:
            self._due = runner.epoch + 1

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        if self.unit == 'iteration' and runner.iter + 1 in self.stages:
            self._due = runner.iter + 1

    def after_val_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        if self._due is not None and is_main_process():
            for sample in outputs or ():
                if sample.img_path in self._names:
                    self._keep(runner, sample, self._due)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self._finish_stage(runner)

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        # The training goes on without a validation; the weights are still those of the stage.
        self._finish_stage(runner)

    def after_train(self, runner) -> None:
        self._finish_stage(runner)
        if not is_main_process():
            return
        missing = [
            title for number, title in self.stages.items() if len(self._unkept(runner, number)) == len(self._chosen)
        ]
        if missing:
            runner.logger.warning(f'stages of training that were not reached or not kept: {", ".join(missing)}')
        figure = self._compose(runner)
        if figure is not None:
            step = runner.epoch if self.unit == 'epoch' else runner.iter
            runner.visualizer.add_image('stages_of_training', to_rgb(figure), step)
            runner.logger.info(f'stages of training: {self._folder(runner) / PICTURE}')

    def _finish_stage(self, runner) -> None:
        """Predict what the validation did not show this process, and compose. Other processes do not wait here."""
        stage, self._due = self._due, None
        if stage is None or not is_main_process():
            return
        missing = self._unkept(runner, stage)
        if missing:
            for sample in predict_alone(runner, [self._chosen[name] for name in missing]):
                self._keep(runner, sample, stage)
        self._compose(runner)

    def _keep(self, runner, sample, stage: int) -> None:
        name = self._names[sample.img_path]
        write_mask(self._map(runner, stage, name), to_labels(sample.pred_sem_seg))
        if 'gt_sem_seg' in sample:
            write_mask(self._folder(runner) / TRUTH / f'{name}.png', to_labels(sample.gt_sem_seg))

    def _compose(self, runner):
        """Write the figure and return it; None if no stage has a map yet."""
        kept = {
            number: title
            for number, title in self.stages.items()
            if len(self._unkept(runner, number)) < len(self._chosen)
        }
        if not kept:
            return None
        dataset = runner.val_dataloader.dataset
        paths = {name: path for path, name in self._names.items()}
        rows = [
            StageRow(
                name,
                mmcv.imread(paths[name], channel_order='rgb'),
                [_read_if_there(self._map(runner, number, name)) for number in kept],
                _read_if_there(self._folder(runner) / TRUTH / f'{name}.png'),
            )
            for name in self._chosen
        ]
        classes, palette = (dataset.metainfo[key] for key in ('classes', 'palette'))
        figure = stage_figure(rows, list(kept.values()), classes, palette, self.mix)
        save_figure(figure, self._folder(runner) / PICTURE)
        return figure

    def _unkept(self, runner, stage: int) -> list[str]:
        return [name for name in self._chosen if not self._map(runner, stage, name).is_file()]

    def _map(self, runner, stage: int, name: str) -> Path:
        return self._folder(runner) / f'{self.unit}_{stage}' / f'{name}.png'

    @staticmethod
    def _folder(runner) -> Path:
        return Path(runner.work_dir) / FOLDER


def stage_titles(stages: Sequence[int] | Mapping[str, int], unit: str) -> dict[int, str]:
    """Number -> title: `epoch 6`, or `middle (epoch 6)` where the stage has a name.

    Raises:
        ValueError: there is no stage, one is smaller than 1, or they do not rise.
    """
    named = isinstance(stages, Mapping)
    numbers = list(stages.values() if named else stages)
    if not numbers or numbers[0] < 1 or any(late <= early for early, late in pairwise(numbers)):
        raise ValueError(f'stages={numbers}: give rising numbers of {unit}s, counted from 1')
    names = list(stages) if named else [''] * len(numbers)
    return {n: f'{name} ({unit} {n})' if name else f'{unit} {n}' for n, name in zip(numbers, names, strict=True)}


def choose_images(paths: Sequence[str], names: Sequence[str], num_images: int) -> dict[str, int]:
    """File name without suffix -> place in the data set: those of `names`, or the first ones of different names.

    Raises:
        ValueError: a name is not there (the message names the nearest one) or stands for two files.
    """
    places: dict[str, list[int]] = {}
    for place, path in enumerate(paths):
        places.setdefault(Path(path).stem, []).append(place)
    if not names:
        return {name: found[0] for name, found in list(places.items())[:num_images]}
    for name in names:
        if name not in places:
            nearest = difflib.get_close_matches(name, places, n=1, cutoff=0.0)
            hint = f'; did you mean {nearest[0]!r}?' if nearest else ''
            raise ValueError(f'image {name!r} is not among the {len(paths)} of the validation set{hint}')
        if len(places[name]) > 1:
            first, second = (paths[place] for place in places[name][:2])
            raise ValueError(f'image {name!r} stands for two files of the validation set: {first} and {second}')
    return {name: places[name][0] for name in names}


def forget_later_maps(folder: Path, unit: str, progress: int) -> None:
    """Remove maps of stages after `progress`: another run wrote them, or this one before it was taken back."""
    for path in folder.glob(f'{unit}_*/*.png'):
        number = path.parent.name.removeprefix(f'{unit}_')
        if number.isdigit() and int(number) > progress:
            path.unlink()
    if progress == 0:
        for path in folder.glob(f'{TRUTH}/*.png'):
            path.unlink()


def predict_alone(runner, places: Sequence[int]) -> list:
    """Data samples with predictions of some images of the validation set; the state of the training stays as it is."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    loader = runner.val_dataloader
    samples = []
    with random_state_kept(), evaluating(model), autocast(enabled=runner.val_loop.fp16):
        for place in places:
            samples += model.val_step(loader.collate_fn([loader.dataset[place]]))
    return samples


def to_labels(pixel_data) -> np.ndarray:
    """mmengine's `PixelData` (1, H, W) -> (H, W), uint8."""
    return pixel_data.data.squeeze(0).cpu().numpy().astype(np.uint8)


def _read_if_there(path: Path) -> np.ndarray | None:
    return read_mask(path) if path.is_file() else None
