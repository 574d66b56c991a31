"""The same on a real S3 server."""

import threading
from datetime import timedelta

import pytest

from hemline_store import (
    CorruptModel,
    Denied,
    InvalidOption,
    Lake,
    ModelStore,
    StoreError,
    Unavailable,
)
from hemline_store.tables import ImportItem, Samples

pytestmark = pytest.mark.s3


def test_models_are_published_and_fetched(s3_lake, model_dir, tmp_path):
    source = model_dir(size=6_000_000)
    assert s3_lake.models.publish(source, uid="run/1") == 1
    assert ModelStore(s3_lake.objects).publish(source, uid="run/1") == 1
    assert s3_lake.models.versions() == [1]
    fetched = s3_lake.models.fetch(1, tmp_path / "cache")
    for name in ("model.keras", "model.onnx", "card.json"):
        assert (fetched / name).read_bytes() == (source / name).read_bytes()
    paths = sorted(stored.path for stored in s3_lake.objects.listing("models/"))
    assert paths == [
        f"models/1/{name}" for name in ("card.json", "claim.json", "model.keras", "model.onnx")
    ]
    s3_lake.objects.put("models/1/model.onnx", b"altered")
    with pytest.raises(CorruptModel):
        s3_lake.models.fetch(1, tmp_path / "other")
    s3_lake.reports.put("run/1", b"{}")
    assert s3_lake.reports.get("run/1") == b"{}"


def test_publishers_at_once_get_numbers_of_their_own(s3_lake, model_dir):
    source = model_dir()
    gate = threading.Barrier(6)
    got: list[tuple[str, int]] = []

    def publish(n: int) -> None:
        gate.wait()
        uid = f"run-{n % 3}"
        got.append((uid, ModelStore(s3_lake.objects).publish(source, uid=uid)))

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert len(set(got)) == len(dict(got)) == 3
    assert s3_lake.models.versions() == [1, 2, 3]


def test_tables_are_written_read_and_kept(s3_lake, rows):
    samples = Samples.open(s3_lake)
    other = Samples.open(s3_lake)
    gate = threading.Barrier(2)

    def append(writer: Samples, name: str) -> None:
        gate.wait()
        for n in range(4):
            writer.append_images([rows.image(f"{name}{n}-{k}") for k in range(5)])

    threads = [
        threading.Thread(target=append, args=(writer, name))
        for writer, name in ((samples, "a"), (other, "b"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    samples.append_labels([rows.label("a0-0", 1)])
    samples.append_predictions([rows.prediction("a0-0", 1)])
    assert samples.import_dataset("set", [ImportItem("i", b"x", "image/png", 2)]).images == 1
    snapshot = samples.snapshot()
    summary = other.summary(rows.classes)
    assert (summary.images, summary.labelled, summary.versions[0].correct) == (41, 2, 1)
    index = samples.index(snapshot, rows.classes)
    assert sorted(samples.take(snapshot, index.row)) == [b"data of a0-0", b"x"]
    assert samples.tag("run/1", snapshot) == snapshot == other.tagged("run/1")
    samples.compact()
    assert samples.expire(timedelta(0), now=rows.at(10)).images == 39
    samples.clean(timedelta(0))
    reader = Samples.open(s3_lake)
    assert reader.index(snapshot, rows.classes).id.tolist() == index.id.tolist()
    assert reader.summary(rows.classes).images == 2
    query = "SELECT count(*) AS n FROM images"
    assert reader.query(query, classes=rows.classes)["n"].to_pylist() == [2]


def test_the_environment_names_the_server(s3_server, s3_lake, monkeypatch, rows):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    lake = Lake(s3_lake.uri.removesuffix("/mnist"), "mnist")
    assert lake.models.versions() == []
    samples = Samples.open(lake)
    samples.append_images([rows.image("a")])
    assert Samples.open(s3_lake).summary(rows.classes).images == 1


def test_a_missing_bucket_is_said_so(s3_server):
    options = {
        "aws_endpoint": s3_server,
        "aws_region": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    lake = Lake("s3://there-is-none/x", "mnist", options=options)
    with pytest.raises(InvalidOption, match="no such bucket"):
        lake.models.versions()
    with pytest.raises(StoreError):
        Samples.open(lake)


def test_a_server_that_is_away_is_worth_a_retry(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lake = Lake(
        "s3://bucket/x",
        "mnist",
        options={
            "aws_endpoint": f"http://127.0.0.1:{port}",
            "aws_region": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "very-secret",
        },
    )
    with pytest.raises(Unavailable) as caught:
        lake.models.versions()
    assert caught.value.retryable
    assert not isinstance(caught.value, Denied)
    assert "very-secret" not in str(caught.value)
