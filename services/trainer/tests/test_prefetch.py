import threading

import numpy as np
import pytest

from hemline_trainer._client import Samples
from hemline_trainer._errors import Interrupted, StreamRefused
from hemline_trainer._prefetch import prefetch


def batch(number):
    return Samples(np.full((1, 2, 2, 1), number, np.uint8), np.array([number]))


def numbers(batches):
    return [int(one.labels[0]) for one in batches]


def test_everything_comes_in_order_and_waits_are_told():
    waits = []
    source = (batch(n) for n in range(50))
    assert numbers(prefetch(source, depth=3, stop=threading.Event(), on_wait=waits.append)) == list(
        range(50)
    )
    assert len(waits) == 51


def test_an_error_comes_after_the_batches_before_it():
    def source():
        yield batch(0)
        yield batch(1)
        raise StreamRefused("no more")

    batches = prefetch(source(), depth=8, stop=threading.Event(), on_wait=lambda _: None)
    assert numbers([next(batches), next(batches)]) == [0, 1]
    with pytest.raises(StreamRefused, match="no more"):
        next(batches)


def test_it_reads_no_further_ahead_than_allowed_and_closes_its_source():
    closed = threading.Event()
    read = []

    def source():
        try:
            for number in range(1000):
                read.append(number)
                yield batch(number)
        finally:
            closed.set()

    batches = prefetch(source(), depth=2, stop=threading.Event(), on_wait=lambda _: None)
    assert int(next(batches).labels[0]) == 0
    batches.close()
    assert closed.wait(60)
    # One handed out, two ready, one in hand, one being made.
    assert len(read) <= 5


def test_a_stop_ends_the_wait_for_a_source_that_is_silent():
    stop, release = threading.Event(), threading.Event()

    def source():
        yield batch(0)
        release.wait(60)

    batches = prefetch(source(), depth=2, stop=stop, on_wait=lambda _: None)
    assert int(next(batches).labels[0]) == 0
    stop.set()
    with pytest.raises(Interrupted):
        next(batches)
    release.set()
