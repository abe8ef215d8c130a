import cv2
import numpy as np
import pytest

from mmext.segmentation.video.other_sources import Camera, ImageFolder, open_source
from mmext.segmentation.video.sources import Place, UnreadableError
from mmext.segmentation.video.video_file import VideoFile, checksum


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'in').mkdir()
    for number in range(12):
        cv2.imwrite(str(tmp_path / 'in' / f'img{number}.png'), np.full((8, 10, 3), number, np.uint8))
    return tmp_path / 'in'


def test_pictures_in_the_order_of_their_numbers(folder):
    source = ImageFolder(folder, 5)
    frames = list(source.read(every=2))
    assert (
        [int(frame.picture[0, 0, 0]) for frame in frames] == [frame.number for frame in frames] == [0, 2, 4, 6, 8, 10]
    )
    assert [float(frame.seconds) for frame in frames] == [0, 0.4, 0.8, 1.2, 1.6, 2.0]
    assert (source.info.size_hw, source.info.frames, source.info.rate) == ((8, 10), 12, 5)


@pytest.mark.parametrize(('every', 'after', 'expected'), [(1, 3, [4, 5]), (2, 2, [4]), (3, 3, []), (1, 5, [])])
def test_going_on(folder, every, after, expected):
    for path in folder.glob('img[6-9]*'):
        path.unlink()
    for name in ('img10.png', 'img11.png'):
        (folder / name).unlink()
    source = ImageFolder(folder)
    place = Place(after, None, checksum(np.full((8, 10, 3), after, np.uint8)))
    assert [frame.number for frame in source.read(every, place)] == expected
    with pytest.raises(UnreadableError, match='not the one that was used before'):
        list(source.read(every, place._replace(checksum=1)))


def test_a_damaged_picture_stops_there(folder):
    (folder / 'img4.png').write_bytes((folder / 'img4.png').read_bytes()[:-20])
    seen = []
    with pytest.raises(UnreadableError, match=r'stopped at frame 5 \(second 0\.40\): img4\.png: damaged or cut off'):
        seen.extend(frame.number for frame in ImageFolder(folder).read())
    frames = ImageFolder(folder).read()
    assert [next(frames).number for _ in range(4)] == [0, 1, 2, 3]


def test_a_picture_of_another_size_stops_there(folder):
    cv2.imwrite(str(folder / 'img2.png'), np.zeros((8, 12, 3), np.uint8))
    with pytest.raises(UnreadableError, match=r'frame 3 .*img2\.png has 12x8 pixels, the first picture 10x8'):
        list(ImageFolder(folder).read())


class FakeCamera:
    def __init__(self, pictures: int, rate: float = 29.97) -> None:
        self.left, self.rate, self.released = pictures, rate, False

    def isOpened(self) -> bool:
        return self.left > 0

    def read(self):
        self.left -= 1
        return (True, np.zeros((6, 8, 3), np.uint8)) if self.left >= 0 else (False, None)

    def get(self, what: int) -> float:
        return self.rate

    def release(self) -> None:
        self.released = True


def test_a_camera(monkeypatch):
    camera = FakeCamera(6)
    monkeypatch.setattr(cv2, 'VideoCapture', lambda index: camera)
    source = open_source('0')
    assert isinstance(source, Camera)
    assert (source.info.live, source.info.frames, source.info.size_hw, source.info.constant) == (
        True,
        None,
        (6, 8),
        False,
    )
    seen = []
    with pytest.raises(UnreadableError, match=r'camera 0: .*no picture any more'):
        seen.extend(frame.seconds for frame in source.read())
    # One picture was needed to learn the size.
    assert len(seen) == 5
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert camera.released


def test_no_camera(monkeypatch):
    monkeypatch.setattr(cv2, 'VideoCapture', lambda index: FakeCamera(0))
    with pytest.raises(ValueError, match='3: no camera of this number'):
        open_source('3')


def test_what_an_argument_means(folder, make_video):
    assert isinstance(open_source(str(folder)), ImageFolder)
    assert isinstance(open_source(str(make_video(2))), VideoFile)
    with pytest.raises(ValueError, match='is a picture'):
        open_source(str(folder / 'img1.png'))
    with pytest.raises(FileNotFoundError, match='nothing: no such video, folder of pictures or number of a camera'):
        open_source('nothing')
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match='no picture in it'):
        open_source(str(folder))
