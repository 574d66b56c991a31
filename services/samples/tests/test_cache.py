import numpy as np

from hemline_model import InputContract
from hemline_samples._cache import DecodedCache

CONTRACT = InputContract(height=8, width=8, channels=1)


def image(value):
    return np.full(CONTRACT.shape, value, np.uint8)


def test_what_was_written_is_read_and_what_was_not_is_missing():
    cache = DecodedCache(CONTRACT, 1 << 20)
    places = cache.places(["a", "b", "c"])
    assert cache.missing(places).tolist() == [True, True, True]
    cache.write(int(places[1]), image(7))
    cache.write(int(places[2]), None)
    assert cache.missing(places).tolist() == [True, False, False]
    assert cache.broken(places).tolist() == [False, False, True]
    np.testing.assert_array_equal(cache.read(places[1:2])[0], image(7))
    assert cache.count() == 1
    assert cache.places(["c", "b", "a"]).tolist() == places[::-1].tolist()


def test_without_room_ids_stay_missing_and_those_that_had_room_keep_it():
    cache = DecodedCache(CONTRACT, 2 * CONTRACT.num_bytes)
    places = cache.places(["a", "b", "c", "d"])
    assert places.tolist() == [0, 1, -1, -1]
    for place in places.tolist():
        cache.write(place, image(1))
    assert cache.missing(places).tolist() == [False, False, True, True]
    assert cache.places(["d", "a"]).tolist() == [-1, 0]


def test_no_room_at_all():
    cache = DecodedCache(CONTRACT, 0)
    places = cache.places(["a"])
    cache.write(int(places[0]), image(1))
    assert cache.missing(places).tolist() == [True]
    assert cache.broken(places).tolist() == [False]
    assert cache.count() == 0
