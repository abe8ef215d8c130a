"""A project of two recipes, runs of them that were never trained, and a browser."""

import copy
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from PIL import Image

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
# Set where the tests must not be skipped.
REQUIRED = 'MMEXT_REQUIRE_BROWSER'
RECIPE = """
default_scope = 'mmseg'
scale = 2
model = dict(type='Toy', channels=scale * 4, init_cfg=dict(type='Pretrained', checkpoint='data/weights.pth'))
train_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(type='Roads', data_root='data/roads', size=(8, 6)))
val_dataloader = dict(batch_size=1, dataset=dict(type='Roads', data_root='data/roads'))
val_evaluator = dict(type='SegmentationMetric')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
param_scheduler = [dict(type='PolyLR', power=0.9)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=100, val_interval=50)
custom_hooks = [dict(type='RunSummaryHook')]
"""
PUBLISHED = """
- report: roads
  table: Table 1
  model: Toy, small
  config: configs/toy/toy_1xb4-100i_roads-8x6.py
  metrics: {mIoU: 0.5000 share, aAcc: 80.00 %, latency: 34 ms}
  gmacs: {value: 1.5, size_hw: [64, 96], tolerance: decimals}
  note: the text says 0.4613
- report: roads
  table: Table 1
  model: Toy, large
  config: configs/toy/toy-large_1xb4-100i_roads-8x6.py
  metrics: {mIoU: 0.6000 share}
- report: films
  table: Part 1
  model: Nothing printed
  config: configs/toy/toy-large_1xb4-100i_roads-8x6.py
  metrics: {}
"""
LOG = """2026/01/01 12:00:00 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    Python: 3.11.7 (main) [GCC 12.2.0]
    CUDA available: False
    PyTorch: 2.10.0
    PyTorch compiling details: PyTorch built with:
  - GCC 13.3
    MMEngine: 0.10.12

Runtime environment:
    seed: {seed}
    Distributed launcher: none
    GPU number: 1
------------------------------------------------------------

2026/01/01 12:00:01 - mmengine - INFO - Config:
{config}
2026/01/01 12:00:02 - mmengine - INFO - Checkpoints will be saved to /somewhere.
"""
STEM = 'toy_1xb4-100i_roads-8x6'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with two recipes and the published figures of them."""
    folder = tmp_path / 'project'
    (folder / 'configs' / 'toy').mkdir(parents=True)
    (folder / 'configs' / 'toy' / f'{STEM}.py').write_text(RECIPE)
    (folder / 'configs' / 'toy' / 'toy-large_1xb4-100i_roads-8x6.py').write_text(
        RECIPE.replace('scale = 2', 'scale = 9')
    )
    (folder / 'published.yml').write_text(PUBLISHED)
    return folder


def png(color: tuple[int, int, int]) -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new('RGB', (32, 24), color).save(file, 'PNG')
    return file.getvalue()


@pytest.fixture
def make_run(project: Path) -> Callable[..., Path]:
    """Write what a training leaves behind; see `make`."""

    def make(
        name: str,
        values: dict[int, dict[str, float]],
        settings: dict[str, Any] | None = None,
        seed: int = 0,
        last: int = 100,
        time: str = '20260101_120000',
        config_name: str = STEM,
    ) -> Path:
        """A start of a run: ``values`` of the validation at each iteration, dotted ``settings`` over the recipe's."""
        folder = project / 'work_dirs' / name / time
        (folder / 'vis_data' / 'vis_image').mkdir(parents=True)
        config = Config.fromfile(project / 'configs' / 'toy' / f'{STEM}.py', import_custom_modules=False)
        config.merge_from_dict(copy.deepcopy(dict(settings or {})))
        text = config.pretty_text
        (folder / 'vis_data' / 'config.py').write_text(text)
        (folder.parent / f'{config_name}.py').write_text(text)
        saved = f'2026/01/01 12:30:00 - mmengine - INFO - Saving checkpoint at {last} iterations\n'
        (folder / f'{time}.log').write_text(LOG.format(seed=seed, config=text) + saved)
        rows = []
        for step in sorted({*values, last}):
            rows.append({'lr': 0.01, 'loss': 2.0 / step, 'iter': step, 'step': step})
            if step in values:
                rows.append({**values[step], 'time': 0.1, 'step': step})
                (folder / 'vis_data' / 'vis_image' / f'val_a_{step}.png').write_bytes(png((step % 256, 90, 30)))
        (folder / 'vis_data' / 'scalars.json').write_text(''.join(json.dumps(row) + '\n' for row in rows))
        return folder.parent

    return make


@pytest.fixture(scope='session')
def browser() -> Callable[..., str]:
    """Call ``browser(file, *options)``: the document that headless Chromium makes of it, as text."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        if os.environ.get(REQUIRED):
            pytest.fail(f'{REQUIRED} is set, and there is none of {", ".join(BROWSERS)}')
        pytest.skip(f'no browser: none of {", ".join(BROWSERS)} is installed')

    def call(file: Path, *options: str) -> str:
        general = ('--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=10000')
        command = [program, *general, *options, '--dump-dom', file.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return call


@pytest.fixture
def in_page(browser: Callable[..., str], tmp_path: Path) -> Callable[..., Any]:
    """Call ``in_page(page, width, script, *options)``: what a script finds in a page of that width.

    The page stands in a frame: its policy forbids foreign scripts, and holds for the page itself all the while. The
    script has ``page``, the document, and ``view``, its window; the value of its last expression is returned.
    """

    def call(page: Path, width: int, script: str, *options: str) -> Any:
        source = json.dumps(page.read_text(encoding='utf-8')).replace('</', '<\\/')
        harness = tmp_path / 'harness.html'
        harness.write_text(
            f'<meta charset="utf-8"><iframe style="width:{width}px;height:900px;border:0"></iframe><pre></pre><script>'
            'const frame = document.querySelector("iframe");'
            'frame.onload = () => { const page = frame.contentDocument, view = frame.contentWindow;'
            f'document.querySelector("pre").textContent = JSON.stringify((() => {{ {script} }})()); }};'
            f'frame.srcdoc = {source};</script>',
            encoding='utf-8',
        )
        shown = browser(harness, *options)
        found = re.search(r'<pre>(.+?)</pre>', shown, re.S)
        assert found, shown[-500:]
        return json.loads(found[1].replace('&lt;', '<').replace('&gt;', '>').replace('&amp;', '&'))

    return call
