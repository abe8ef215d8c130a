from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer


class OwnVisualizer(Visualizer):
    """mmengine keeps the instances of each class apart."""


def test_runs_are_forgotten_with_their_open_files(forget_runs, tmp_path):
    logger = MMLogger.get_instance('forgotten', log_file=str(tmp_path / 'run.log'))
    (file,) = [handler for handler in logger.handlers if hasattr(handler, 'baseFilename')]
    kinds = (MMLogger, MessageHub, Visualizer, OwnVisualizer, DefaultScope)
    made = [kind.get_instance('forgotten', **({'scope_name': 'a'} if kind is DefaultScope else {})) for kind in kinds]
    forget_runs()
    assert not any(kind.check_instance_created('forgotten') for kind in kinds)
    assert made[0] is logger
    assert file.stream is None
    forget_runs()
