import threading
import time

import pytest

from mmext.segmentation.video.threads import Ahead, Behind


def test_ahead_gives_what_there_is_in_order():
    assert list(Ahead(range(50), 3, 'a')) == list(range(50))
    assert list(Ahead([], 3, 'a')) == []


def test_ahead_fetches_no_more_than_its_length():
    fetched = []

    def items():
        for number in range(20):
            fetched.append(number)
            yield number

    ahead = Ahead(items(), 3, 'a')
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(fetched) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    # One was taken, three wait, one is in the thread's hands.
    assert len(fetched) == 5
    ahead.close()
    assert len(fetched) == 5


def test_ahead_raises_where_the_item_would_be():
    def items():
        yield 1
        yield 2
        raise ValueError('third')

    ahead, seen = Ahead(items(), 5, 'a'), []
    with pytest.raises(ValueError, match='third'):
        seen.extend(iter(lambda: next(ahead), None))
    ahead = Ahead(items(), 5, 'a')
    assert [next(ahead), next(ahead)] == [1, 2]


def test_closing_ends_the_thread_and_the_items():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = Ahead(items(), 1, 'a thread to look for')
    assert next(ahead) == 0
    ahead.close()
    assert closed.is_set()
    assert 'a thread to look for' not in {thread.name for thread in threading.enumerate()}
    assert list(ahead) == []


def test_behind_consumes_in_order_and_close_waits():
    seen = []

    def consume(item):
        time.sleep(0.001)
        seen.append(item)

    behind = Behind(consume, 2, 'b')
    for number in range(30):
        behind.put(number)
    behind.close()
    assert seen == list(range(30))


def test_behind_makes_the_caller_wait():
    gate = threading.Event()
    behind = Behind(lambda item: gate.wait(), 2, 'b')
    caller = threading.Thread(target=lambda: [behind.put(number) for number in range(10)], daemon=True)
    caller.start()
    caller.join(0.1)
    assert caller.is_alive()
    gate.set()
    caller.join(5)
    assert not caller.is_alive()
    behind.close()


def test_an_error_reaches_the_caller_who_is_never_stuck():
    def consume(item):
        raise OSError('no space left')

    behind = Behind(consume, 1, 'b')
    with pytest.raises(OSError, match='no space left'):
        [behind.put(1) for _ in range(1000)]
    with pytest.raises(OSError, match='no space left'):
        behind.close()
