"""Small files and runs that the documents speak of as if the reader had them; made where a document needs them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from command_rules import DETECTOR, QUICKSTART, VIT
from PIL import Image

SCENES = 'data/samples/kitti_seg/training'
RunTool = Callable[..., None]


def _scenes(root: Path, kind: str, count: int) -> list[Image.Image]:
    """Frames or masks of the embedded sample at a tenth of their size."""
    found = sorted((root / SCENES / kind).glob('*.png'))
    images = [Image.open(path) for path in found]
    small = [image.resize((124, 38), Image.Resampling.NEAREST) for image in images]
    return (small * (count // len(small) + 1))[:count]


def raw_kitti(project: Path, run_tool: RunTool) -> None:
    """60 frames in the raw layout of KITTI: enough for a split of its usual size."""
    for kind in ('image_2', 'semantic'):
        folder = project / 'raw_kitti' / 'training' / kind
        folder.mkdir(parents=True)
        for index, image in enumerate(_scenes(project, kind, 60)):
            image.save(folder / f'{index:06}_10.png')


def my_frames(project: Path, run_tool: RunTool) -> None:
    if not (project / 'raw_kitti').exists():
        raw_kitti(project, run_tool)
    run_tool('tools/prepare/kitti.py', 'raw_kitti', 'data/mine', '--val-count', '4')


def photos(project: Path, run_tool: RunTool) -> None:
    (project / 'photos').mkdir()
    for index, image in enumerate(_scenes(project, 'image_2', 2)):
        image.save(project / 'photos' / f'{index}.png')


def clip(project: Path, run_tool: RunTool) -> None:
    """A video of 12 frames, 10 a second."""
    import av

    with av.open(str(project / 'clip.mp4'), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 124, 38, 'yuv420p'
        for image in _scenes(project, 'image_2', 12):
            frame = av.VideoFrame.from_ndarray(np.asarray(image.convert('RGB')), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def mit_b0(project: Path, run_tool: RunTool) -> None:
    """Random weights in the place of those of ImageNet."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    settings = Config.fromfile(project / 'configs/_base_/models/segformer_mit-b0.py').model.backbone
    settings.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmseg'):
        import mmseg.models  # noqa: F401

        torch.save(MODELS.build(settings).state_dict(), project / 'checkpoints' / 'mit_b0.pth')


def trained(config: str, work_dir: str) -> Callable[[Path, RunTool], None]:
    def make(project: Path, run_tool: RunTool) -> None:
        run_tool('tools/train.py', config, '--work-dir', f'work_dirs/{work_dir}')

    return make


# A path below the project's folder that a document names -> what makes it.
MAKERS: dict[str, Callable[[Path, RunTool], None]] = {
    'raw_kitti': raw_kitti,
    'data/mine': my_frames,
    'photos': photos,
    'clip.mp4': clip,
    'checkpoints/mit_b0.pth': mit_b0,
    'work_dirs/quickstart_again': trained(QUICKSTART, 'quickstart_again'),
    'work_dirs/quickstart': trained(QUICKSTART, 'quickstart'),
    f'work_dirs/{Path(DETECTOR).stem}': trained(DETECTOR, Path(DETECTOR).stem),
    f'work_dirs/{Path(VIT).stem}': trained(VIT, Path(VIT).stem),
}
