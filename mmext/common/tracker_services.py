"""Weights & Biases, MLflow and ClearML: how a run is begun, gone on with, written to and ended in each.

mmengine's backends find the package and open the run. What they write has other axes in training than in validation
(wandb gets no axis at all), goes out to the network as the training waits, takes every file of the work dir with it at
the end, and begins a new run whenever a training goes on; here the packages are spoken to directly for these.
"""

import json
import netrc
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from mmengine.visualization.vis_backend import BaseVisBackend, ClearMLVisBackend, MLflowVisBackend, WandbVisBackend

AXES = ('iter', 'epoch')
SECRET_NAME = re.compile(r'(?i)(^|_)(api_?key|secret(_?key)?|access_?key|password|passwd|(access_|auth_|api_)?token)$')
SECRET_VARIABLES = (
    *('WANDB_API_KEY', 'MLFLOW_TRACKING_PASSWORD', 'MLFLOW_TRACKING_TOKEN'),
    *('CLEARML_API_SECRET_KEY', 'CLEARML_API_ACCESS_KEY', 'AWS_SECRET_ACCESS_KEY'),
)
HIDDEN = '***'
# Length that every release of MLflow takes for the value of a parameter, and parameters in one call.
PARAMETER_LENGTH, PARAMETER_BATCH = 500, 100

CLEARML_CONNECTIONS = (
    *('matplotlib', 'tensorflow', 'tensorboard', 'pytorch', 'xgboost', 'scikit', 'fastai', 'lightgbm', 'hydra'),
    *('detect_repository', 'tfdefines', 'joblib', 'megengine', 'catboost', 'gradio', 'jsonargparse'),
)


class Service:
    """One package that follows trainings. All methods are called in the same thread, the constructor excepted.

    Args:
        project: What runs are gathered under.
        run_name: Of the run.
        settings: Arguments of mmengine's backend for the package.
        work_dir: Of the run; what is kept on this machine lies there.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    backend_class: ClassVar[type[BaseVisBackend]]

    def __init__(self, project: str, run_name: str, settings: Mapping[str, Any], work_dir: str | Path) -> None:
        self.project, self.run_name, self.settings = project, run_name, dict(settings)
        self.work_dir = Path(work_dir).absolute()
        self.backend: BaseVisBackend | None = None

    def open(self, run_id: str | None) -> str:
        """Begin a run, or go on with that of ``run_id``; the id of what was begun."""
        raise NotImplementedError

    def config(self, content: dict) -> None:
        """Record the settings of a run that has begun: plain values without secrets."""
        raise NotImplementedError

    def scalars(self, values: dict[str, float], point: int) -> None:
        """Record numbers, among them the `AXES`. ``point`` counts whatever is recorded in a run."""
        raise NotImplementedError

    def image(self, name: str, image: np.ndarray, axes: dict[str, float], point: int) -> None:
        """Record a picture, (H, W, 3) RGB, uint8."""
        raise NotImplementedError

    def close(self, failed: bool) -> None:
        """End the run."""
        raise NotImplementedError


class Wandb(Service):
    """Without a key the run is kept in ``<work dir>/wandb``; ``wandb sync`` uploads it later."""

    name, title, backend_class = 'wandb', 'Weights & Biases', WandbVisBackend

    def open(self, run_id: str | None) -> str:
        init = dict(project=self.project, name=self.run_name, save_code=False, dir=str(self.work_dir))
        init |= self.settings.get('init_kwargs') or {}
        init |= dict(id=run_id or init.get('id') or uuid.uuid4().hex[:8], resume='allow')
        if 'mode' not in init and 'WANDB_MODE' not in os.environ:
            init['mode'] = 'online' if has_wandb_key() else 'offline'
        try:
            self._init(init)
        except Exception:
            if init.get('mode') != 'online':
                raise
            # A key, and no network at the moment.
            self._init(init | dict(mode='offline'))
        return init['id']

    def _init(self, init: dict) -> None:
        Path(init['dir']).mkdir(parents=True, exist_ok=True)
        axes = [dict(name='iter'), dict(name='epoch'), dict(name='*', step_metric='iter')]
        given = self.settings.get('define_metric_cfg') or []
        if isinstance(given, Mapping):
            given = [dict(name=name, summary=summary, step_metric='iter') for name, summary in given.items()]
        arguments = dict(self.settings, save_dir=init['dir'], init_kwargs=init, define_metric_cfg=[*axes, *given])
        self.backend = self.backend_class(**arguments)
        self.wandb = self.backend.experiment

    def config(self, content: dict) -> None:
        self.wandb.config.update(content, allow_val_change=True)

    def scalars(self, values: dict[str, float], point: int) -> None:
        # Whatever has a lower step than something before is dropped by wandb; points only ever count up.
        self.wandb.log(values, step=point, commit=True)

    def image(self, name: str, image: np.ndarray, axes: dict[str, float], point: int) -> None:
        self.wandb.log({name: self.wandb.Image(image), **axes}, step=point, commit=True)

    def close(self, failed: bool) -> None:
        self.wandb.finish(exit_code=int(failed))


class MLflow(Service):
    """Without ``MLFLOW_TRACKING_URI`` the run is kept in ``<work dir>/mlruns``."""

    name, title, backend_class = 'mlflow', 'MLflow', MLflowVisBackend

    def open(self, run_id: str | None) -> str:
        arguments = dict(self.settings, save_dir=str(self.work_dir / 'mlruns'))
        arguments['tracking_uri'] = os.environ.get('MLFLOW_TRACKING_URI') or arguments.get('tracking_uri')
        if not arguments['tracking_uri']:
            # Releases from 3.7 on refuse a store of files unless told that it is wanted.
            os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')
        arguments['exp_name'] = arguments.get('exp_name') or self.project
        name = arguments.pop('run_name', None) or self.run_name
        tags, params = arguments.pop('tags', None), arguments.pop('params', None)
        self.backend = self.backend_class(**arguments)
        self.mlflow = self.backend.experiment
        run = self._start(run_id, name)
        if tags:
            self.mlflow.set_tags(tags)
        if params and not run_id:
            self.mlflow.log_params(params)
        return run.info.run_id

    def _start(self, run_id: str | None, name: str) -> Any:
        if run_id:
            try:
                return self.mlflow.start_run(run_id=run_id)
            except self.mlflow.MlflowException:
                pass  # deleted, or kept in another store
        return self.mlflow.start_run(run_name=name)

    def config(self, content: dict) -> None:
        self.mlflow.log_text(json.dumps(content, indent=2), 'config.json')
        flat = [(mlflow_name(name), str(value)[:PARAMETER_LENGTH]) for name, value in flatten(content).items()]
        for start in range(0, len(flat), PARAMETER_BATCH):
            self.mlflow.log_params(dict(flat[start : start + PARAMETER_BATCH]))

    def scalars(self, values: dict[str, float], point: int) -> None:
        self.mlflow.log_metrics({mlflow_name(name): value for name, value in values.items()}, step=int(values['iter']))

    def image(self, name: str, image: np.ndarray, axes: dict[str, float], point: int) -> None:
        self.mlflow.log_image(image, f'images/{mlflow_name(name)}/iter_{axes["iter"]:08d}_epoch_{axes["epoch"]:g}.png')

    def close(self, failed: bool) -> None:
        self.mlflow.end_run('FAILED' if failed else 'FINISHED')


class ClearML(Service):
    """Without credentials the run is kept in ``<work dir>/clearml``, for ``Task.import_offline_session``."""

    name, title, backend_class = 'clearml', 'ClearML', ClearMLVisBackend

    def open(self, run_id: str | None) -> str:
        offline = 'CLEARML_OFFLINE_MODE' not in os.environ and not has_clearml_key()
        if offline:
            os.environ.setdefault('CLEARML_CACHE_DIR', str(self.work_dir / 'clearml'))
        import clearml

        if offline:
            clearml.Task.set_offline(True)
        # Else it would take every file that torch writes, TensorBoard's curves once more, and, if not told one by one,
        # the script and what is changed in the repository, with whatever secrets stand there.
        untouched = dict.fromkeys(CLEARML_CONNECTIONS, False)
        init = dict(project_name=self.project, task_name=self.run_name, auto_connect_frameworks=untouched)
        init |= dict(auto_connect_arg_parser=False, auto_connect_streams=False, auto_resource_monitoring=False)
        init |= self.settings.get('init_kwargs') or {}
        # 0: iterations count from the beginning of the training, also when it goes on.
        init |= dict(reuse_last_task_id=run_id, continue_last_task=0) if run_id else dict(reuse_last_task_id=False)
        self.backend = self.backend_class(**dict(self.settings, init_kwargs=init))
        self.task = self.backend.experiment.Task.current_task()
        self.logger = self.task.get_logger()
        return self.task.id

    def config(self, content: dict) -> None:
        self.task.connect_configuration(content, name='config')

    def scalars(self, values: dict[str, float], point: int) -> None:
        for name, value in values.items():
            self.logger.report_scalar(title=name, series=name, value=value, iteration=int(values['iter']))

    def image(self, name: str, image: np.ndarray, axes: dict[str, float], point: int) -> None:
        self.logger.report_image(
            title=name, series=f'epoch {axes["epoch"]:g}', iteration=int(axes['iter']), image=image
        )

    def close(self, failed: bool) -> None:
        if failed:
            self.task.mark_failed(status_reason='the training did not end in order')
        self.task.close()


SERVICES: dict[str, type[Service]] = {service.name: service for service in (Wandb, MLflow, ClearML)}


def has_wandb_key() -> bool:
    """Whether a key of Weights & Biases is in the environment or in the netrc file, where ``wandb login`` puts it."""
    if os.environ.get('WANDB_API_KEY'):
        return True
    host = urlsplit(os.environ.get('WANDB_BASE_URL', 'https://api.wandb.ai')).hostname
    for path in (os.environ.get('NETRC'), '~/.netrc', '~/_netrc'):
        try:
            if path and netrc.netrc(Path(path).expanduser()).authenticators(host or ''):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def has_clearml_key() -> bool:
    """Whether credentials of ClearML are in the environment or in its file."""
    if os.environ.get('CLEARML_API_ACCESS_KEY'):
        return True
    return Path(os.environ.get('CLEARML_CONFIG_FILE', '~/clearml.conf')).expanduser().is_file()


def mlflow_name(name: str) -> str:
    """A name with the characters that every release of MLflow takes.

    In a store of files ``epoch`` cannot be a curve beside ``epoch/total``, for which it would have to be a folder.
    """
    if name.partition('/')[0] in AXES:
        name = name.replace('/', '_')
    return re.sub(r'[^\w\-. /]', '_', name)[:250].strip('/ ') or '_'


def flatten(content: Any, name: str = '') -> dict[str, Any]:
    """``{'a': {'b': 1}, 'c': [2]}`` -> ``{'a.b': 1, 'c': [2]}``."""
    if not isinstance(content, Mapping):
        return {name: content}
    flat = {}
    for key, value in content.items():
        flat |= flatten(value, f'{name}.{key}' if name else str(key))
    return flat


def hide_secrets(text: str) -> str:
    """A text without passwords in addresses and without the keys of this environment."""
    for variable in SECRET_VARIABLES:
        if value := os.environ.get(variable):
            text = text.replace(value, HIDDEN)
    return re.sub(r'://[^/@\s]+@', f'://{HIDDEN}@', text)


def public(content: Any) -> Any:
    """Settings as plain values of JSON, without what has the name of a secret, and texts as of `hide_secrets`."""
    if isinstance(content, Mapping):
        return {
            str(name): HIDDEN if SECRET_NAME.search(str(name)) and isinstance(value, str) else public(value)
            for name, value in content.items()
        }
    if isinstance(content, (list, tuple, set)):
        return [public(value) for value in content]
    if content is None or isinstance(content, (bool, int, float)):
        return content
    return hide_secrets(str(content))


def find_secret(content: Any, name: str = '') -> str | None:
    """The full name of the first setting that holds a secret, which a config would write to disk."""
    for key, value in flatten(content).items():
        if isinstance(value, (list, tuple)):
            found = next(filter(None, (find_secret(item, f'{key}.{i}') for i, item in enumerate(value))), None)
            if found:
                return found
        elif isinstance(value, str) and (SECRET_NAME.search(key.rpartition('.')[2]) or hide_secrets(value) != value):
            return f'{name}.{key}' if name else key
    return None
