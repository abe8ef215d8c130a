"""Trackers of trainings besides the local logs: ``--tracker wandb|mlflow|clearml``.

Local JSON and TensorBoard are there in any case. `set_tracker` adds two entries to a config, which may stand in a
config file as well::

    visualizer = dict(vis_backends=[..., dict(type='TrackerVisBackend', tracker='wandb', project='street')])
    custom_hooks = [..., dict(type='TrackerHook')]
"""

import importlib
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import HOOKS

from mmext.common.positions import PositionHook
from mmext.common.tracker_services import SERVICES
from mmext.common.tracker_vis_backend import TrackerError, TrackerVisBackend, check_settings

TRACKERS = tuple(SERVICES)
LOCAL_BACKENDS = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
# Hooks that draw validated images -> the argument that switches them on.
PICTURE_HOOKS = {
    'DetVisualizationHook': 'draw',
    'SegVisualizationHook': 'draw',
    'SegPictureHook': 'draw',
    'VisualizationHook': 'enable',
}


def set_tracker(cfg: Config, tracker: str, project: str = 'mmext', images: bool = True) -> None:
    """Have a training recorded by a tracker too.

    Called after the work dir is settled, before the Runner is built. An entry for the same tracker that the config has
    already, ours or mmengine's own, is replaced by one with the same settings.

    Args:
        cfg: Changed in place.
        tracker: 'wandb', 'mlflow' or 'clearml'.
        project: What runs are gathered under, unless the config says otherwise.
        images: Switch on the hook that draws validated images.

    Raises:
        TrackerError: no such tracker, its package is not installed, or the config holds a secret for it.
    """
    check_settings(tracker, None)
    check_package(tracker)
    visualizer = cfg.get('visualizer') or dict(type='Visualizer')
    backends = visualizer.get('vis_backends') or [dict(each) for each in LOCAL_BACKENDS]
    backends = [backends] if isinstance(backends, Mapping) else list(backends)
    same = [each for each in backends if _is_for(tracker, each)]
    entry = _entry(tracker, project, same[-1] if same else {})
    check_settings(tracker, entry.get('settings'))
    backends = [each for each in backends if each not in same]
    cfg.visualizer = dict(visualizer, vis_backends=[*backends, entry])
    hooks = [hook for hook in cfg.get('custom_hooks') or [] if _kind(hook) != 'TrackerHook']
    cfg.custom_hooks = [*hooks, dict(type='TrackerHook')]
    pictures = (cfg.get('default_hooks') or {}).get('visualization')
    if images and pictures and (switch := PICTURE_HOOKS.get(_kind(pictures))):
        pictures[switch] = True


def check_package(tracker: str) -> None:
    """Raise unless the package of a tracker can be imported.

    Raises:
        TrackerError: says how to install it.
    """
    try:
        module = importlib.import_module(tracker)
    except ImportError as error:
        raise TrackerError(_missing(tracker, error)) from error
    # A folder of that name, such as the one that wandb writes its runs to.
    if getattr(module, '__file__', None) is None and hasattr(module, '__path__'):
        raise TrackerError(_missing(tracker, f'{next(iter(module.__path__))} is a folder, no package'))


def _missing(tracker: str, reason: Any) -> str:
    return (
        f'--tracker {tracker}: the package of {SERVICES[tracker].title} is missing ({reason}); install it: '
        f'pip install {tracker}; or train without --tracker: JSON and TensorBoard logs are always written'
    )


def _kind(settings: Any) -> str:
    """Name of the class that settings are for, given as a name, with or without its scope, or as a class."""
    kind = settings.get('type') if isinstance(settings, Mapping) else type(settings)
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]


def _is_for(tracker: str, backend: Mapping) -> bool:
    kind = _kind(backend)
    if kind == 'TrackerVisBackend':
        return backend.get('tracker') == tracker
    return kind == SERVICES[tracker].backend_class.__name__


def _entry(tracker: str, project: str, earlier: Mapping) -> dict:
    if earlier and _kind(earlier) == 'TrackerVisBackend':
        return dict(project=project) | dict(earlier)
    settings = {name: value for name, value in earlier.items() if name not in ('type', 'name', 'save_dir')}
    init = settings.get('init_kwargs') or {}
    project = init.get('project') or init.get('project_name') or settings.get('exp_name') or project
    entry = dict(type='TrackerVisBackend', tracker=tracker, project=project)
    return entry | (dict(settings=settings) if settings else {})


@HOOKS.register_module()
class TrackerHook(PositionHook):
    """Begins the run of every `TrackerVisBackend` with the training and tells it where the training stands.

    A training that goes on from a checkpoint goes on with the run that is noted in the ``trackers.json`` of its work
    dir; a new training in the same work dir begins a new run. In a distributed training the first process alone has
    runs.
    """

    def before_run(self, runner) -> None:
        for backend in tracker_backends(runner):
            backend.hooked = True

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if not is_main_process():
            return
        for backend in tracker_backends(runner):
            # Only a training that goes on has iterations behind it.
            backend.begin(runner.work_dir, runner.iter > 0, lambda: self._at, runner.logger)


def tracker_backends(runner) -> list[TrackerVisBackend]:
    """The trackers of a Runner."""
    return [each for each in runner.visualizer._vis_backends.values() if isinstance(each, TrackerVisBackend)]
