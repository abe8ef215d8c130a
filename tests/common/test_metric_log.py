from pathlib import Path

import pytest
from mmengine.logging import MessageHub, MMLogger

from mmext.common.metric_log import forget_earlier, run_folder, run_stage


@pytest.fixture
def hub(tmp_path):
    """A message hub and a log file of this test alone."""
    hub = MessageHub.get_instance(tmp_path.name + str(tmp_path.stat().st_ino))
    MMLogger.get_instance(hub.instance_name, log_file=str(tmp_path / 'run.log'))
    return hub


def test_folder_and_stage(hub, tmp_path):
    assert run_folder() == Path(tmp_path)
    assert run_stage() is None
    hub.update_info('loop_stage', 'val')
    assert run_stage() == 'val'


def test_no_log_file_no_folder(hub):
    MMLogger.get_instance(f'{hub.instance_name} without a file')
    assert run_folder() is None


def test_forgets_what_is_now_undefined_and_the_reverse(hub):
    hub.update_scalar('val/AP.cat', 0.5)
    hub.update_scalar('test/AP.cat', 0.5)
    hub.update_scalar('val/mAP', 0.5)
    hub.update_info('val/AP.dog', None)
    forget_earlier({'AP.cat': None, 'AP.dog': 0.25, 'mAP': 0.3})
    assert set(hub.log_scalars) == {'val/mAP'}
    assert 'val/AP.dog' not in hub.runtime_info
    # nothing to forget
    forget_earlier({'AP.cow': None, 'AP.hen': 0.1})
