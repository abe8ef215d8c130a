"""Stand-ins for the packages of trackers: they note what they are asked for."""

import itertools
import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest


class Fake:
    """What one package was told.

    ``runs`` are opened runs with their arguments, ``points`` dicts of values with their ``step``, ``images`` names with
    where they belong. ``fail``, if set, is raised by whatever records; the calls of numbers ``fail_at`` fail too.
    """

    def __init__(self) -> None:
        self.runs, self.points, self.images, self.configs, self.ends = [], [], [], [], []
        self.fail: Exception | None = None
        self.fail_at: set[int] = set()
        self.calls = 0
        self.wait = None
        self.ids = itertools.count(1)

    def note(self, values: dict, step: int) -> None:
        if self.wait:
            self.wait.wait(30)
        self.calls += 1
        if self.fail or self.calls in self.fail_at:
            raise self.fail or OSError('gone')
        self.points.append(dict(values, step=step))

    def everything(self) -> str:
        return json.dumps([self.runs, self.points, self.images, self.configs], default=str)


def fake_wandb(fake: Fake) -> types.ModuleType:
    """Drops, as the real one does, what has a lower step than before."""
    module = types.ModuleType('wandb')
    module.metrics, module.step = [], -1

    def init(**arguments):
        if fake.fail:
            raise fake.fail
        fake.runs.append(arguments)
        module.step = -1

    def log(values, step=None, commit=None):
        assert step is not None
        assert step > module.step, 'the step goes back'
        module.step = step
        images = {name: value for name, value in values.items() if isinstance(value, tuple)}
        for name, value in images.items():
            fake.images.append((name, value[1].shape, values['iter'], values['epoch']))
        if not images:
            fake.note(values, step)

    module.init, module.log = init, log
    module.Image = lambda array: ('image', array)
    module.define_metric = lambda **arguments: module.metrics.append(arguments)
    module.config = SimpleNamespace(update=lambda content, allow_val_change: fake.configs.append(content))
    module.finish = lambda exit_code: fake.ends.append(exit_code)
    return module


def fake_mlflow(fake: Fake) -> types.ModuleType:
    module = types.ModuleType('mlflow')
    module.uris, module.experiments, module.known = [], [], set()

    class MlflowException(Exception):
        pass

    def start_run(run_id=None, run_name=None):
        if run_id and run_id not in module.known:
            raise MlflowException(f'{run_id} not found')
        run_id = run_id or f'm{next(fake.ids)}'
        module.known.add(run_id)
        fake.runs.append(dict(id=run_id, name=run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def log_image(image, artifact_file):
        fake.images.append((artifact_file, image.shape))

    def log_params(params):
        assert len(params) <= 100
        assert all(len(value) <= 500 for value in params.values())
        fake.configs.append(params)

    module.MlflowException, module.start_run = MlflowException, start_run
    module.set_tracking_uri = module.uris.append
    module.get_experiment_by_name = lambda name: None
    module.create_experiment = lambda name, artifact_location=None: None
    module.set_experiment = module.experiments.append
    module.log_metrics = lambda values, step: fake.note(values, step)
    module.log_image, module.log_params = log_image, log_params
    module.log_text = lambda text, name: fake.configs.append({name: text})
    module.set_tags = lambda tags: None
    module.end_run = lambda status: fake.ends.append(status)
    return module


def fake_clearml(fake: Fake) -> types.ModuleType:
    module = types.ModuleType('clearml')
    module.offline = None

    class Task:
        current = None

        def __init__(self, arguments: dict) -> None:
            self.id = arguments['reuse_last_task_id'] or f'c{next(fake.ids)}'
            self.status = 'in progress'

        @classmethod
        def init(cls, **arguments):
            fake.runs.append(arguments)
            cls.current = cls(arguments)
            return cls.current

        @classmethod
        def current_task(cls):
            return cls.current

        @staticmethod
        def set_offline(offline):
            module.offline = offline

        def get_logger(self):
            def report_image(title, series, iteration, image):
                fake.images.append((title, image.shape, iteration, series))

            def report_scalar(title, series, value, iteration):
                fake.note({title: value}, iteration)

            return SimpleNamespace(report_image=report_image, report_scalar=report_scalar)

        def connect_configuration(self, content, name):
            fake.configs.append(content)

        def mark_failed(self, status_reason):
            self.status = 'failed'

        def close(self):
            fake.ends.append(self.status)

    module.Task = Task
    return module


FAKES = dict(wandb=fake_wandb, mlflow=fake_mlflow, clearml=fake_clearml)


def install(monkeypatch: pytest.MonkeyPatch, home: Path, tracker: str) -> Fake:
    """Put the stand-in of a package in its place, on a machine without keys."""
    for variable in (
        *('WANDB_MODE', 'WANDB_API_KEY', 'WANDB_BASE_URL', 'NETRC', 'MLFLOW_TRACKING_URI', 'MLFLOW_ALLOW_FILE_STORE'),
        *('CLEARML_OFFLINE_MODE', 'CLEARML_API_ACCESS_KEY', 'CLEARML_CONFIG_FILE', 'CLEARML_CACHE_DIR'),
    ):
        # Set first, so that what the code sets is taken back too.
        monkeypatch.setenv(variable, '')
        monkeypatch.delenv(variable)
    monkeypatch.setenv('HOME', str(home))
    fake = Fake()
    fake.module = FAKES[tracker](fake)
    monkeypatch.setitem(sys.modules, tracker, fake.module)
    return fake
