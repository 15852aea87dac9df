"""The batch size is chosen by the measured time and memory of the model."""

from types import SimpleNamespace

import numpy as np
import pytest

import detectors.batching
from detectors.batching import MAX_BATCH_SIZE, find_batch_size
from detectors.errors import DetectionFailed
from detectors.machine import resident_bytes

MB = 2**20


class Clock:
    """A clock that only the models of this module advance, so that the result does not depend on the machine."""

    def __init__(self) -> None:
        self.now = 0.0

    def take(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(detectors.batching, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_the_batch_size_is_the_maximum_if_many_take_no_longer_than_one(clock: Clock) -> None:
    assert find_batch_size(lambda _: clock.take(0.005), None) == MAX_BATCH_SIZE


def test_the_batch_size_is_one_if_each_picture_takes_the_same_time(clock: Clock) -> None:
    assert find_batch_size(lambda pictures: clock.take(0.02 * pictures), None) == 1


def test_the_batch_size_grows_while_that_saves_time(clock: Clock) -> None:
    # 20 ms for the start and 4 ms for each picture: 24, 14, 9, 6.5, 5.25, 4.6, 4.3 ms per picture.
    assert find_batch_size(lambda pictures: clock.take(0.02 + 0.004 * pictures), None) == 64
    # 2 ms for the start and 20 ms for each picture: 22, 21, 20.5 ms per picture.
    assert find_batch_size(lambda pictures: clock.take(0.002 + 0.02 * pictures), None) == 1


def test_a_batch_that_the_model_refuses_is_not_chosen(clock: Clock) -> None:
    def detect(pictures: int) -> None:
        if pictures > 4:
            raise DetectionFailed("CUDA out of memory.")
        clock.take(0.005)

    assert find_batch_size(detect, None) == 4


@pytest.mark.parametrize(("more", "found"), [(100, 4), (400, 16)])
def test_the_memory_limit_is_not_exceeded(clock: Clock, more: int, found: int) -> None:
    most = 0

    def detect(pictures: int) -> None:
        nonlocal most
        most = max(most, pictures)
        np.ones((pictures, 16 * MB), np.uint8)
        clock.take(0.05)

    limit = resident_bytes() + more * MB

    assert find_batch_size(detect, limit) == most == found


def test_an_error_with_one_picture_is_raised() -> None:
    def detect(pictures: int) -> None:
        raise DetectionFailed(f"no tensor named x in {pictures}")

    with pytest.raises(DetectionFailed, match="no tensor named x"):
        find_batch_size(detect, None)
