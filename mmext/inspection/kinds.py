"""The kinds of faults: how bad each is and why, what it is called, and what to do about it."""

from typing import NamedTuple

from .passport import Level


class Kind(NamedTuple):
    """What all findings of one kind share: `Finding.message` begins with ``title``."""

    level: Level
    title: str
    reason: str
    fix: str


_CRASH = 'training stops when it reads the file, or before'
_WRONG = 'training runs, but learns what is not there'
_FIX = 'tools/inspect_data.py --fix FOLDER writes corrected copies'

KINDS: dict[str, Kind] = {
    # The dataset as a whole
    'unlistable': Kind('error', 'data that cannot be listed', 'training cannot start', 'correct the paths'),
    'no-samples': Kind(
        'error', 'splits without a sample', 'nothing can be trained or evaluated', 'correct the paths or the lists'
    ),
    'class-numbering': Kind(
        'error',
        'splits that number their classes differently',
        'labels of the same number mean different classes, and every score is nonsense',
        'name the classes in the config (classes=[...] or metainfo), the same for all splits',
    ),
    'unlisted': Kind(
        'note', 'pictures that no list names', 'they are never read', 'add them to a list if they belong there'
    ),
    'unlabelled': Kind(
        'note', 'splits without any annotation', 'usual for a test set', 'nothing, if the split is for prediction only'
    ),
    'class-missing-in-train': Kind(
        'warning',
        'classes that are evaluated, but never trained',
        'their score can only be 0, and lowers the mean',
        'move samples of these classes to the training split, or drop the classes',
    ),
    'absent-class': Kind(
        'note', 'classes that occur nowhere', 'outputs of the network that nothing trains', 'nothing, or drop them'
    ),
    'similar-class-names': Kind(
        'warning',
        'classes whose names differ in letter case or separators only',
        'probably one class that is trained as two',
        'rename one of them',
    ),
    # Pictures
    'missing-image': Kind('error', 'pictures that are not there', _CRASH, 'copy them again, or correct the lists'),
    'unreadable': Kind('error', 'files that cannot be read', _CRASH, f'copy them again from the source; {_FIX}'),
    'truncated': Kind(
        'error',
        'files that are cut off or damaged inside',
        'some decoders stop, others fill the rest with grey, which is then trained',
        f'copy them again from the source; {_FIX} without them',
    ),
    'exif-rotation': Kind(
        'warning',
        'pictures that their EXIF data turns or mirrors',
        'training turns the picture, but neither its mask nor its boxes; other tools do not turn it',
        f'store the pixels upright: {_FIX}',
    ),
    'image-mode': Kind(
        'warning',
        'pictures whose pixels are changed when they are read',
        'transparency is dropped, and 16-bit, float and CMYK values are converted without a word',
        'convert them to 8-bit RGB or grey yourself, so that you know how',
    ),
    'grey-image': Kind(
        'note', 'grey pictures among colour pictures', 'they are read as colour, with three equal channels', 'nothing'
    ),
    'animated': Kind(
        'warning', 'pictures of several frames or pages', 'only the first is read', 'store single pictures'
    ),
    'wrong-suffix': Kind(
        'warning',
        'pictures of another format than their suffix says',
        'tools that trust the suffix fail, and a PNG that was a JPEG has lost detail',
        'rename them, or store them in the format of their name',
    ),
    'extreme-size': Kind(
        'warning',
        'pictures that are extremely small or large',
        'below 8 pixels nothing is left after the first layers; above 89 megapixels memory runs out',
        'leave them out, or cut them into tiles',
    ),
    'extreme-aspect': Kind(
        'warning',
        'pictures more than ten times as long as wide',
        'resized or cut, hardly anything of them is left',
        'leave them out, or cut them into tiles',
    ),
    'duplicate-name': Kind(
        'warning',
        'pictures whose names differ in suffix or letter case only',
        'their annotations have one name, so one gets the annotation of the other',
        'rename or remove one of them',
    ),
    'identical-images': Kind(
        'warning', 'pictures that are in a split more than once', 'they count more than others', 'keep one of each'
    ),
    'label-conflict': Kind(
        'warning',
        'equal pictures with different annotations',
        'at least one of the annotations is wrong',
        'look at them, and keep the right one',
    ),
    # Annotations of all tasks
    'missing-annotation': Kind(
        'error', 'pictures without an annotation', _CRASH, 'annotate them, or take them out of the lists'
    ),
    'spare-annotation': Kind(
        'warning',
        'annotations without a picture',
        'they are never read; probably a name is mistyped or a picture is missing',
        'correct the names, or remove them',
    ),
    'size-mismatch': Kind(
        'error',
        'annotations for a picture of another size',
        'masks of another size crash, and boxes lie in the wrong place',
        'take the annotation of this very picture, or resize both alike (masks with nearest neighbour)',
    ),
    'no-label': Kind('error', 'pictures without a class', _CRASH, 'rename them, or take them out'),
    'unknown-class': Kind(
        'error', 'names that are no class', 'training stops, or leaves them out', 'correct them, or add the class'
    ),
    # Masks
    'mask-mode': Kind(
        'error',
        'masks that are not 8-bit pictures of one channel like the others',
        'colours and deep values are no class indices, and are trained as nonsense',
        f'convert them to the encoding of the others: {_FIX}',
    ),
    'mask-values': Kind(
        'error',
        'masks with values that are no class',
        'the loss crashes or reads beyond its table',
        'correct the values, or set them to the ignored one',
    ),
    'wrong-encoding': Kind(
        'error',
        'masks that are encoded differently than the config says',
        _WRONG,
        'convert the masks (tools/prepare/kitti.py), or correct label_encoding in the config',
    ),
    'mixed-encodings': Kind(
        'error',
        'masks with label ids beside masks with trainIds',
        _WRONG,
        'convert all to one (tools/prepare/kitti.py)',
    ),
    'binary-255': Kind(
        'error',
        'masks of 0 and 255 only',
        '255 is ignored in training, so that only one class is left',
        'store the foreground as 1',
    ),
    'continuous-mask': Kind(
        'error',
        'masks with the many values of a photograph',
        'no class indices: a picture in the wrong folder, or a mask that was interpolated or saved as JPEG',
        'take the original masks, and resize with nearest neighbour only',
    ),
    'color-masks': Kind(
        'note',
        'masks that are coded in colours throughout',
        'consistent, but training needs class indices',
        'convert them, as tools/prepare/land_cover.py and tools/prepare/kitti.py do',
    ),
    'empty-mask': Kind(
        'warning',
        'masks that are ignored altogether',
        'nothing is learnt from the picture, and some losses become 0 or NaN',
        'annotate them, or take them out',
    ),
    'dominant-class': Kind(
        'warning',
        'splits with more than 99.9 % of the pixels in one class',
        'a network that always says this class seems perfect',
        'check the values of the masks; balance the classes',
    ),
    # Boxes
    'box-coordinates': Kind(
        'error', 'boxes without four numbers', 'training stops', f'correct the boxes; {_FIX} without them'
    ),
    'box-flag': Kind(
        'error', 'boxes whose <difficult> is neither 0 nor 1', 'training stops when it reads the file', 'write 0 or 1'
    ),
    'box-empty': Kind(
        'error',
        'boxes without area in the picture',
        'training stops, or the loss becomes NaN',
        f'correct the boxes; {_FIX} without them',
    ),
    'box-outside': Kind(
        'warning', 'boxes that leave the picture', 'they are clipped, or shift the target', f'clip them: {_FIX}'
    ),
    'box-tiny': Kind(
        'note', 'boxes less than 4 pixels wide or high', 'hardly to be found, and most detectors skip them', 'nothing'
    ),
    'box-twice': Kind(
        'warning', 'boxes that occur twice in a picture', 'one object counts twice', 'remove the repetition'
    ),
    'no-objects': Kind('note', 'pictures without boxes', 'good as counter-examples, unless forgotten', 'look at them'),
}
