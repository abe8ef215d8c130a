"""How the shell lines of the documents are run: what placeholders stand for, what is shortened, what cannot be run.

A new tool's line needs nothing here if it ends within seconds and uses the placeholders below. Otherwise:

- a new placeholder: a line in `PLACEHOLDERS` with a small thing of its kind; if that has to be made first, a maker for
  its path in ``fixture_files.py``;
- a line that takes long: arguments in `SHORTER` that are appended, nothing else is changed;
- a line that cannot be run here: a pattern and the reason in `LISTED`; its options and files are still checked;
- a line that ends with another status than 0 and is meant to: `STATUS`.
"""

QUICKSTART = 'configs/quickstart.py'
VIT = 'configs/classification/vit/vit-tiny-p4_1xb32-80e_sample-32x32.py'
DETECTOR = 'configs/detection/faster_rcnn/faster-rcnn_r18-fpn_1xb8-16e-b4-4e_sample-192x256.py'

# Word in a document -> what takes its place; of several, the first takes the place of the word's first occurrence in a
# line, the second of its second, and so on.
PLACEHOLDERS: dict[str, tuple[str, ...]] = {
    'CONFIG': (QUICKSTART,),
    'CHECKPOINT': ('work_dirs/quickstart/best_mIoU_iter_*.pth',),
    'CKPT': ('work_dirs/quickstart/best_mIoU_iter_*.pth',),
    'RUN': ('work_dirs/quickstart', 'work_dirs/quickstart_again'),
    'RAW': ('raw_kitti',),
    'DIR': ('results',),
    'FOLDER': ('photos',),
    'PICTURES': ('photos',),
    'FRAME': ('photos/0.png',),
    'VIDEO': ('clip.mp4',),
    'N': ('1',),
    '<folder with training/>': ('raw_kitti',),
    '<folder of the pairs>': ('data/samples/land_cover/train',),
    '<folder of the validation pairs>': ('data/samples/land_cover/validation',),
}

# Tool -> arguments that are appended. `--cfg-options` of tools/train.py and tools/test.py are worked out from the
# config: two iterations, or an epoch on a few pictures, without workers.
SHORTER: dict[str, list[str]] = {
    # Counts two of the seventy recipes; of an option that is there twice the last one holds.
    'tools/analysis/recipe_table.py': ['--report', 'vit-pets', '--json', 'recipes.json', '--markdown', 'recipes.md'],
    'tools/preflight.py': ['--skip', 'overfit', '--skip', 'forecast'],
    'tools/video_segmentation.py': ['--every', '10'],
    'tools/benchmarks/speed.py': ['--precision', 'fp32', '--repeats', '2'],
    'tools/benchmarks/kill_test.py': ['--kills', '1', '--workers', '0', '--processes', '1'],
}

LONG = 'trains a large network for hours on a GPU; tests/configs builds every such config'
WEIGHTS = "reads weights that are downloaded; the converter's own test runs it"
INSTALLS = 'installs packages'
# (pattern of the whole command, why it is not run). Checked all the same: that the tool is there and knows the options,
# that its config can be read. A training leaves an empty checkpoint, for the lines that follow.
LISTED: list[tuple[str, str]] = [
    (r'uv run pytest', 'is the test suite itself'),
    (r'(python -m venv|pip install) .*', INSTALLS),
    (r'python tools/prepare/convert_\w+\.py .*', WEIGHTS),
    (r'python \S*swin2mmseg\.py .*', WEIGHTS),
    (
        r'python tools/prepare/voc\.py VOCtrainval.*',
        'reads 3 GB of archives; tests/tools/test_voc.py runs it on small ones',
    ),
    (r'python tools/(train|test)\.py configs/segmentation/\S*_(r101|r18|vgg16)-?\S*-pre_\S+\.py.*', LONG),
    (r'python tools/(train|test)\.py configs/segmentation/(cwd|pspnet)/.*', LONG),
    (
        r'python tools/benchmarks/speed\.py configs/segmentation/context/.*',
        'times large networks for minutes; tests/tools/test_speed.py times a small one',
    ),
    (r'python tools/doctor\.py.*', 'imports every toolbox in a new process; tests/tools/test_doctor.py runs it'),
    (r'python -m torch\.distributed\.run .*', 'starts several processes; tests/tools/test_train_and_test.py does so'),
]

# (document, tool) -> exit status that the document tells of.
STATUS: dict[tuple[str, str], int] = {
    ('docs/gallery.md', 'tools/find_leaks.py'): 1,
}
# A guide is followed beside the project's folder, every other document in it.
BESIDE_THE_PROJECT = 'docs/own_'
