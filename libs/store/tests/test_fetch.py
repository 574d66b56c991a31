import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hemline_store import CorruptModel, Unavailable, UnknownVersion


def listing(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_version_is_fetched_whole(lake, model_dir, tmp_path):
    source = model_dir(size=9_000_000)
    lake.models.publish(source, uid="run")
    fetched = lake.models.fetch(1, tmp_path / "deep" / "cache")
    for name in ("model.keras", "model.onnx", "card.json"):
        assert (fetched / name).read_bytes() == (source / name).read_bytes()
    assert listing(fetched.parent) == ["1"]


def test_a_right_copy_is_reused(lake, model_dir, tmp_path):
    lake.models.publish(model_dir(), uid="run")
    first = lake.models.fetch(1, tmp_path / "cache")
    before = (first / "model.onnx").stat().st_ino
    assert lake.models.fetch(1, str(tmp_path / "cache")) == first
    assert (first / "model.onnx").stat().st_ino == before


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "card", "file instead"])
def test_a_damaged_copy_is_replaced(lake, model_dir, tmp_path, damage):
    source = model_dir()
    lake.models.publish(source, uid="run")
    copy = lake.models.fetch(1, tmp_path / "cache")
    target = copy / "model.onnx"
    if damage == "flip":
        target.write_bytes(b"\0" * target.stat().st_size)
    elif damage == "cut":
        os.truncate(target, 10)
    elif damage == "remove":
        target.unlink()
    elif damage == "card":
        (copy / "card.json").write_text("{}")
    else:
        copy.rename(tmp_path / "moved")
        copy.write_text("in the way")
    again = lake.models.fetch(1, tmp_path / "cache")
    assert (again / "model.onnx").read_bytes() == (source / "model.onnx").read_bytes()
    assert listing(tmp_path / "cache") == ["1"]


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "remove", "card"])
def test_a_version_damaged_in_the_lake_is_refused(lake, model_dir, tmp_path, damage):
    lake.models.publish(model_dir(), uid="run")
    path = "models/1/model.onnx"
    data = lake.objects.get(path, limit=1 << 20)
    if damage == "flip":
        lake.objects.put(path, data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        lake.objects.put(path, data[:-1])
    elif damage == "longer":
        lake.objects.put(path, data + b"x")
    elif damage == "remove":
        lake.objects.delete([path])
    else:
        lake.objects.put("models/1/card.json", b'{"files": {"model.onnx": {"sha256": "no"}}}')
    with pytest.raises(CorruptModel, match=r"models/1/"):
        lake.models.fetch(1, tmp_path / "cache")
    cache = tmp_path / "cache"
    assert not cache.exists() or listing(cache) == []


def test_an_unknown_version_names_the_known_ones(lake, model_dir, tmp_path):
    lake.models.publish(model_dir(), uid="run")
    with pytest.raises(UnknownVersion, match=r"no model version 7 .*: 1$"):
        lake.models.fetch(7, tmp_path / "cache")


def test_many_may_fetch_at_once(lake, model_dir, tmp_path):
    lake.models.publish(model_dir(size=1_000_000), uid="run")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: lake.models.fetch(1, tmp_path / "cache"), range(16)))
    assert found == {tmp_path / "cache" / "1"}
    assert listing(tmp_path / "cache") == ["1"]


def test_what_a_killed_fetch_left_is_swept_once_it_is_old(lake, model_dir, tmp_path):
    lake.models.publish(model_dir(), uid="run")
    cache = tmp_path / "cache"
    old, young = cache / ".hemline-fetch-old", cache / ".hemline-fetch-young"
    for left in (old, young):
        left.mkdir(parents=True)
        (left / "model.onnx").write_bytes(b"part")
    os.utime(old, (time.time() - 90_000,) * 2)
    lake.models.fetch(1, cache)
    assert listing(cache) == [young.name, "1"]


def test_a_cache_that_cannot_be_written_is_said_so(lake, model_dir, tmp_path):
    lake.models.publish(model_dir(), uid="run")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(Unavailable, match="cannot write"):
        lake.models.fetch(1, tmp_path / "cache")
