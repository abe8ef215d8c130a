"""A visualizer's backend that hands what is logged to a tracker and never keeps the training waiting."""

import atexit
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from logging import Logger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import VISBACKENDS
from mmengine.visualization.vis_backend import BaseVisBackend

from mmext.common.positions import Position
from mmext.common.tracker_records import Record, read_record, write_record
from mmext.common.tracker_services import AXES, SERVICES, Service, find_secret, hide_secrets, public

# What may wait to be sent. More is dropped: memory is for the training.
WAITING, WAITING_IMAGES = 10_000, 64
# Failures in a row after which a tracker is given up.
FAILURES = 3
# Seconds that the beginning of a training waits for its run, so that the id is noted before anything can go wrong.
OPENING = 30.0
# Seconds that the end of a training, and that of a process in which a training failed, wait for the tracker.
PATIENCE, LAST_PATIENCE = 60.0, 10.0
# mmengine calls these the same in training and in validation.
SHARED_NAMES = ('time', 'data_time', 'memory')


class TrackerError(ValueError):
    """A tracker that cannot be used as it is configured."""


@VISBACKENDS.register_module()
class TrackerVisBackend(BaseVisBackend):
    """Records trainings with Weights & Biases, MLflow or ClearML.

    `TrackerHook`, which belongs to it, begins the run and says where the training stands: every point has an ``iter``
    and an ``epoch``, in training and in validation. A thread talks to the tracker; whatever goes wrong there is told
    once, and the training and its other logs go on. Tests record nothing.

    Args:
        tracker: 'wandb', 'mlflow' or 'clearml'.
        project: What runs are gathered under.
        run_name: Of the run; by default the name of the work dir.
        settings: Arguments of mmengine's backend for the tracker (``init_kwargs``, ``tracking_uri``, ...), no secrets.
        save_dir: Of the visualizer; not used, what stays on this machine lies in the work dir.

    Raises:
        TrackerError: no such tracker, or a secret among the settings.
    """

    def __init__(
        self,
        tracker: str,
        project: str = 'mmext',
        run_name: str | None = None,
        settings: Mapping[str, Any] | None = None,
        save_dir: str | None = None,
    ) -> None:
        super().__init__(save_dir)
        check_settings(tracker, settings)
        self.tracker, self.project, self.run_name, self.settings = tracker, project, run_name, dict(settings or {})
        self.hooked = False
        self._service: Service | None = None
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()
        self._config: dict = {}
        self._logger: Logger | None = None

    @property
    def experiment(self) -> Any:
        """What mmengine's backend for the tracker calls so; None while no run is open."""
        return self._service.backend.experiment if self._service and self._service.backend else None

    def _init_env(self) -> None:
        """Nothing is opened before a training begins."""

    def add_config(self, config: Config, **kwargs) -> None:
        """Take note of the settings; they are recorded when the training begins."""
        self._config = public(config.to_dict())

    def begin(self, work_dir: str | Path, goes_on: bool, position: Callable[[], Position], logger: Logger) -> None:
        """Open a run: in the background if that takes longer than `OPENING`.

        Args:
            work_dir: Of the training.
            goes_on: Go on with the run of the work dir, if there is one.
            position: Says where the training stands.
            logger: Is told what goes wrong.
        """
        self.close()
        self._position, self._logger, self._told = position, logger, set()
        self._service = SERVICES[self.tracker](
            self.project, self.run_name or Path(work_dir).absolute().name, self.settings, work_dir
        )
        self._work_dir, self._record = work_dir, Record(project=self.project, name=self._service.run_name)
        if goes_on:
            try:
                self._record = read_record(work_dir, self.tracker) or self._record
            except (OSError, ValueError) as error:
                self._tell('record', f'{error}; a new run begins')
        self._queue: queue.Queue = queue.Queue(WAITING)
        self._images = threading.BoundedSemaphore(WAITING_IMAGES)
        self._image_names: Counter = Counter()
        self._image_iter, self._failed, self._off = -1, False, False
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f'tracker {self.tracker}', daemon=True)
        self._thread.start()
        # Also so that workers of dataloaders are forked when no package is just being started.
        self._opened.wait(OPENING)

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs) -> None:
        """Record a number at the position of the training; ``step``, whatever it counts, is not used."""
        self.add_scalars({name: value}, step)

    def add_scalars(
        self, scalar_dict: Mapping[str, Any], step: int = 0, file_path: str | None = None, **kwargs
    ) -> None:
        """Record numbers at the position of the training; what is no number is left out."""
        if not self._running():
            return
        at = self._position()
        names = {name: f'val/{name}' for name in SHARED_NAMES} if at.validating else {}
        values = {names.get(name, name): number(value) for name, value in scalar_dict.items() if name not in AXES}
        self._put(('scalars', {name: value for name, value in values.items() if value is not None}, at))

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Record a picture, (H, W, 3) RGB, uint8, at the position of the training."""
        if not self._running():
            return
        at = self._position()
        if at.iter != self._image_iter:
            self._image_iter, self._image_names = at.iter, Counter()
        self._image_names[name] += 1
        if (count := self._image_names[name]) > 1:  # one name for several pictures of a validation
            name = f'{name}_{count}'
        if not self._images.acquire(blocking=False):
            self._tell('full', 'is slower than the training; some points are left out')
        elif not self._put(('image', name, np.array(image), at)):
            self._images.release()

    def close(self, failed: bool = False, patience: float = PATIENCE) -> None:
        """End the run, and wait a little for what is not sent yet."""
        thread, self._thread = self._thread, None
        if thread is None or not thread.is_alive():
            return
        self._failed = failed
        self._queue_end(patience)
        thread.join(patience)
        if thread.is_alive():
            self._off = True
            self._tell('end', f'has not taken everything within {patience:g} s; some points may be missing')

    def _queue_end(self, patience: float) -> None:
        try:
            self._queue.put(None, timeout=patience)
        except queue.Full:
            self._off = True

    def _running(self) -> bool:
        if not self.hooked:
            self._tell('hook', "records nothing: add dict(type='TrackerHook') to the config's custom_hooks")
        return self._thread is not None and not self._off

    def _put(self, job: tuple) -> bool:
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._tell('full', 'is slower than the training; some points are left out')
            return False
        return True

    def _tell(self, kind: str, message: str) -> None:
        """Warn, once of each kind."""
        if kind not in self._told:
            self._told.add(kind)
            logger = self._logger or MMLogger.get_current_instance()
            logger.warning(hide_secrets(f'tracker {self.tracker}: {message}'))

    def _work(self) -> None:
        """What the thread does: opens the run, sends what comes, ends the run."""
        try:
            self._open()
        except (Exception, SystemExit) as error:
            self._off = True
            self._tell('failure', f'no run could be opened ({summary(error)}); the training and its local logs go on')
            return
        finally:
            self._opened.set()
        failures = 0
        while (job := self._queue.get()) is not None and not self._off:
            try:
                self._send(*job)
                failures = 0
            except (Exception, SystemExit) as error:
                failures += 1
                self._off = failures >= FAILURES
                self._tell('failure', f'{summary(error)}; the training and its local logs go on')
            finally:
                if job[0] == 'image':
                    self._images.release()
        try:
            self._service.close(self._failed)
        except (Exception, SystemExit) as error:
            self._tell('failure', f'{summary(error)}; the local logs are complete')

    def _open(self) -> None:
        record = self._record
        run_id = self._service.open(record.id)
        # After the package's own: what is registered last is called first. After an orderly end it does nothing.
        atexit.register(self.close, failed=True, patience=LAST_PATIENCE)
        if run_id != record.id:
            if record.id:
                self._tell('id', f'run {record.id} of {self._work_dir} could not be gone on with; {run_id} takes over')
            self._record = Record(run_id, self.project, self._service.run_name)
            write_record(self._work_dir, self.tracker, self._record)
            try:
                self._service.config(self._config)
            except Exception as error:
                self._tell('config', f'the config is not recorded ({summary(error)})')
        self._logger.info(hide_secrets(f'tracker {self.tracker}: run {run_id} of project {self.project}'))

    def _send(self, kind: str, *content: Any) -> None:
        """Record what the run has not yet: a training that goes on repeats what came after its checkpoint."""
        record, at = self._record, content[-1]
        axes = dict(iter=at.iter, epoch=at.epoch or 0)
        if kind == 'image':
            names, values = [content[0]], {}
        else:
            values = {name: value for name, value in content[0].items() if record.lacks(name, at.iter)}
            names = list(values)
        if not any(record.lacks(name, at.iter) for name in names):
            return
        record.points += 1
        try:
            if kind == 'image':
                self._service.image(content[0], content[1], axes, record.points)
            else:
                self._service.scalars(values | axes, record.points)
            record.sent.update(dict.fromkeys(names, at.iter))
        finally:  # a point that may have been sent counts
            write_record(self._work_dir, self.tracker, record)


def check_settings(tracker: str, settings: Mapping[str, Any] | None) -> None:
    """Raise unless a tracker is known and its settings may be written into logs.

    Raises:
        TrackerError: no such tracker, or a secret among the settings.
    """
    if tracker not in SERVICES:
        raise TrackerError(f'tracker {tracker!r}: unknown; known are {", ".join(SERVICES)}')
    if secret := find_secret(settings or {}):
        raise TrackerError(
            f'tracker {tracker}: {secret} is a secret, and configs are written into logs; '
            'take it out and put it into an environment variable or log in with the tool of the tracker'
        )


def number(value: Any) -> float | int | None:
    """A number of Python's, None for what is no single number."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        if (value.numel() if isinstance(value, torch.Tensor) else np.size(value)) != 1:
            return None
        value = value.item()
    return value if isinstance(value, (int, float)) else None


def summary(error: BaseException) -> str:
    """The kind of an error and its first line."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0][:300]}' if lines else type(error).__name__
