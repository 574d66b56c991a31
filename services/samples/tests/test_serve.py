"""`serve` as a process, asked by real clients."""

import hashlib
import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from hemline_api.grpc import samples_pb2 as pb
from hemline_api.grpc import samples_pb2_grpc
from hemline_api.hashing import split_of

Place = Any
pytestmark = pytest.mark.timeout(600)
Stub = Any
OLD, NEW = 300, 60

# As a client of the base service has it: the text is not read from this repository's own files.
BASE_PROTO = """
syntax = "proto3";
service MnistService {
  rpc GetTrainingSamples(DataRequest) returns (stream Sample) {}
}
message DataRequest {
}
message Sample {
  bytes image = 1;
  int64 label = 2;
}
"""


def call(address: str) -> Stub:
    channel = grpc.insecure_channel(
        address, options=[("grpc.max_receive_message_length", 64 << 20)]
    )
    return samples_pb2_grpc.SampleServiceStub(channel)


def numbers_of(batch: pb.SampleBatch) -> list[int]:
    """The numbers that the images of a batch tell."""
    images = np.frombuffer(batch.images, np.uint8).reshape(len(batch.labels), 28, 28)
    return (images[:, 0, 0].astype(int) * 256 + images[:, 0, 1]).tolist()


def heard(batches: Any) -> list[tuple[int, list[int], list[int], int]]:
    """What was sent, position by position."""
    return [
        (batch.position, numbers_of(batch), list(batch.labels), batch.fresh) for batch in batches
    ]


def is_in(split: str, prefix: str, first: int, count: int) -> set[int]:
    return {n for n in range(first, first + count) if split_of(f"{prefix}-{n}") == split}


@pytest.fixture(scope="module")
def served(shared: Place) -> Iterator[tuple[Place, Stub, pb.Snapshot]]:
    """Three hundred imported samples, then sixty from the stream; the snapshot in between."""
    shared.publish()
    shared.import_numbers(0, OLD)
    serving = shared.serve().start()
    stub = call(serving.address)
    before = stub.TakeSnapshot(pb.TakeSnapshotRequest(tag="before")).snapshot
    shared.add_stream(1000, NEW)
    shared.address = serving.address
    shared.serving = serving
    yield shared, stub, before


def test_a_client_made_of_the_base_proto_alone(
    served: tuple[Place, Stub, pb.Snapshot], tmp_path: Path, environment: dict[str, str]
) -> None:
    place, stub, _ = served
    (tmp_path / "mnist.proto").write_text(BASE_PROTO)
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path}"),
            *(f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"),
            str(tmp_path / "mnist.proto"),
        ],
        check=True,
    )
    client = Path(__file__).with_name("base_client.py")
    packages = sysconfig.get_path("purelib")
    done = subprocess.run(
        [sys.executable, "-I", "-S", client, packages, tmp_path, place.address],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    batches = list(stub.StreamBatches(pb.BatchRequest()))
    assert answer["labels"] == [label for batch in batches for label in batch.labels]
    expected = hashlib.sha256(b"".join(batch.images for batch in batches)).hexdigest()
    assert answer["digest"] == expected
    assert answer["sizes"] == [28 * 28]
    train = is_in("train", "old", 0, OLD) | is_in("train", "new", 1000, NEW)
    assert sorted(n for batch in batches for n in numbers_of(batch)) == sorted(train)


def test_images_are_the_raw_pixels_with_their_label(
    served: tuple[Place, Stub, pb.Snapshot], image_of: Callable[[int], Any]
) -> None:
    _, stub, _ = served
    for batch in stub.StreamBatches(pb.BatchRequest(batch_size=50)):
        images = np.frombuffer(batch.images, np.uint8).reshape(-1, 28, 28, 1)
        for image, label, number in zip(images, batch.labels, numbers_of(batch), strict=True):
            np.testing.assert_array_equal(image, image_of(number))
            assert label == number % 10


def test_a_killed_server_is_replaced_without_losing_or_repeating_a_sample(place: Place) -> None:
    place.publish()
    place.import_numbers(0, 3000)
    place.add_stream(5000, 100)
    first, second = place.serve().start(), place.serve().start()
    snapshot = call(first.address).TakeSnapshot(pb.TakeSnapshotRequest(tag="run")).snapshot
    request = pb.BatchRequest(
        snapshot=snapshot,
        seed=11,
        batch_size=2048,
        num_batches=60,
        shard=1,
        num_shards=2,
        mix=pb.Mix(fresh_fraction=0.5),
    )
    expected = heard(call(second.address).StreamBatches(request))
    received = []
    stream = call(first.address).StreamBatches(request)
    with pytest.raises(grpc.RpcError) as failure:
        for batch in stream:
            received += heard([batch])
            if len(received) == 3:
                first.service.kill()
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
    # What was under way when the server died may still have come; the rest cannot have.
    assert 3 <= len(received) < 60
    rest = pb.BatchRequest()
    rest.CopyFrom(request)
    rest.position = len(received)
    rest.num_batches = 60 - len(received)
    received += heard(call(second.address).StreamBatches(rest))
    assert received == expected


def test_every_shard_together_is_one_pass(served: tuple[Place, Stub, pb.Snapshot]) -> None:
    _, stub, before = served
    request = {"snapshot": before, "seed": 3, "batch_size": 16}
    whole = heard(stub.StreamBatches(pb.BatchRequest(**request)))
    shards = [
        heard(stub.StreamBatches(pb.BatchRequest(**request, shard=shard, num_shards=3)))
        for shard in range(3)
    ]
    for shard in range(3):
        assert [sent[1:] for sent in shards[shard]] == [sent[1:] for sent in whole[shard::3]]
        assert [sent[0] for sent in shards[shard]] == list(range(len(shards[shard])))
    assert sorted(n for sent in whole for n in sent[1]) == sorted(is_in("train", "old", 0, OLD))


def test_half_of_a_mixed_batch_is_new(served: tuple[Place, Stub, pb.Snapshot]) -> None:
    _, stub, before = served
    request = pb.BatchRequest(
        batch_size=20,
        num_batches=60,
        mix=pb.Mix(fresh_fraction=0.5, fresh_since=before),
    )
    request.snapshot.CopyFrom(stub.TakeSnapshot(pb.TakeSnapshotRequest()).snapshot)
    sent = heard(stub.StreamBatches(request))
    assert len(sent) == 60
    fresh = is_in("train", "new", 1000, NEW)
    old_halves = [n for _, numbers, _, _ in sent for n in numbers[10:]]
    for _, numbers, _, count in sent:
        assert count == 10
        assert set(numbers[:10]) <= fresh
    assert {n for _, numbers, _, _ in sent for n in numbers[:10]} == fresh
    # The whole data set is the pool of the other half, new samples included.
    assert set(old_halves) == fresh | is_in("train", "old", 0, OLD)


def test_splits_origins_and_newest_labels_select(served: tuple[Place, Stub, pb.Snapshot]) -> None:
    _, stub, before = served

    def ask(**fields: Any) -> set[int]:
        sent = heard(stub.StreamBatches(pb.BatchRequest(**fields)))
        return {n for _, numbers, _, _ in sent for n in numbers}

    frozen = ask(split="validation", origin=pb.ORIGIN_IMPORT)
    assert frozen == is_in("validation", "old", 0, OLD)
    newest = ask(split="validation", origin=pb.ORIGIN_STREAM, labelled_since=before)
    assert newest == is_in("validation", "new", 1000, NEW)
    assert ask(split="validation") == frozen | newest
    assert ask(snapshot=before, split="validation") == frozen
    assert ask(split="test") == set()


def test_a_tag_keeps_the_snapshot_it_was_given_first(
    served: tuple[Place, Stub, pb.Snapshot],
) -> None:
    _, stub, before = served
    reply = stub.TakeSnapshot(pb.TakeSnapshotRequest(tag="before"))
    assert reply.snapshot == before
    assert (reply.train_samples + reply.validation_samples, reply.test_samples) == (OLD, 0)
    now = stub.TakeSnapshot(pb.TakeSnapshotRequest(fresh_since=before))
    assert now.snapshot != before
    assert now.fresh_train_samples == len(is_in("train", "new", 1000, NEW))
    assert now.fresh_validation_samples == len(is_in("validation", "new", 1000, NEW))
    assert (now.height, now.width, now.channels) == (28, 28, 1)
    assert now.class_names[5] == "sandal"


def test_the_summary_counts(
    served: tuple[Place, Stub, pb.Snapshot], until: Callable[..., None]
) -> None:
    place, stub, before = served
    summary = stub.GetSummary(pb.SummaryRequest(since=before))
    assert (summary.images, summary.labelled) == (OLD + NEW, OLD + NEW)
    assert (summary.stream_labelled, summary.fresh_labelled) == (NEW, NEW)
    assert sum(one.labelled for one in summary.classes) == OLD + NEW
    metric = place.serving.service.metric
    until(lambda: metric("hemline_serve_labelled_samples") == OLD + NEW, what="the gauges follow")


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"split": "dev"}, "INVALID_ARGUMENT", "split: received 'dev'"),
        ({"shard": 2, "num_shards": 2}, "INVALID_ARGUMENT", "expected 0 to 1"),
        ({"batch_size": 70_000}, "INVALID_ARGUMENT", "batch_size"),
        ({"position": 1 << 40}, "INVALID_ARGUMENT", "position"),
        ({"mix": pb.Mix(fresh_fraction=1.5)}, "INVALID_ARGUMENT", "fresh_fraction"),
        ({"mix": pb.Mix(fresh_fraction=float("nan"))}, "INVALID_ARGUMENT", "fresh_fraction"),
        ({"snapshot": pb.Snapshot(images=99, labels=99)}, "NOT_FOUND", "no version 99"),
        (
            {"split": "test", "mix": pb.Mix(fresh_fraction=0.5)},
            "FAILED_PRECONDITION",
            "no fresh sample",
        ),
    ],
)
def test_what_cannot_be_streamed_is_refused_in_words(
    served: tuple[Place, Stub, pb.Snapshot], fields: dict[str, Any], code: str, words: str
) -> None:
    _, stub, _ = served
    with pytest.raises(grpc.RpcError) as failure:
        list(stub.StreamBatches(pb.BatchRequest(**fields)))
    assert failure.value.code().name == code
    assert words in failure.value.details()


def test_reports_are_handed_out_once_they_are_there(
    served: tuple[Place, Stub, pb.Snapshot],
) -> None:
    place, stub, _ = served
    with pytest.raises(grpc.RpcError) as failure:
        stub.GetReport(pb.ReportRequest(uid="run-7"))
    assert failure.value.code() == grpc.StatusCode.NOT_FOUND
    place.lake.reports.put("run-7", b'{"uid": "run-7"}')
    assert stub.GetReport(pb.ReportRequest(uid="run-7")).report == b'{"uid": "run-7"}'


def test_an_image_that_cannot_be_decoded_is_left_out_everywhere_alike(place: Place) -> None:
    place.publish()
    place.import_numbers(0, 40)
    place.add_stream(100, 10, data=b"\x89PNG\r\n\x1a\nbut nothing more")
    servers = [place.serve().start(), place.serve("--cache-mib", "0").start()]
    snapshot = call(servers[0].address).TakeSnapshot(pb.TakeSnapshotRequest(tag="x")).snapshot
    request = pb.BatchRequest(snapshot=snapshot, batch_size=8)
    # Twice: once decoded, once out of the cache, where there is one.
    sent = [heard(call(one.address).StreamBatches(request)) for one in (*servers, *servers)]
    assert sent[0] == sent[1] == sent[2] == sent[3]
    assert sorted(n for _, numbers, _, _ in sent[0] for n in numbers) == sorted(
        is_in("train", "old", 0, 40)
    )


def test_a_client_that_does_not_read_holds_the_server_back(
    served: tuple[Place, Stub, pb.Snapshot], until: Callable[..., None]
) -> None:
    place, stub, _ = served
    sent_bytes = "hemline_serve_bytes_total"
    begun = place.serving.service.metric(sent_bytes)
    stream = stub.StreamBatches(
        pb.BatchRequest(batch_size=2048, mix=pb.Mix(fresh_fraction=0.0), num_batches=2000)
    )
    next(stream)
    seen = [-1.0]

    def is_still() -> bool:
        seen.append(place.serving.service.metric(sent_bytes))
        return seen[-1] == seen[-2]

    until(is_still, what="the stream stands still")
    # Of three gigabytes, what fits into the buffers on the way.
    assert seen[-1] - begun < 200e6
    stream.cancel()
    open_streams = "hemline_serve_open_streams"
    until(lambda: place.serving.service.metric(open_streams) == 0, what="the stream is closed")


def test_one_stream_too_many_is_sent_away(place: Place, until: Callable[..., None]) -> None:
    place.publish()
    place.import_numbers(0, 50)
    serving = place.serve("--max-streams", "1").start()
    stub = call(serving.address)
    endless = pb.BatchRequest(mix=pb.Mix(fresh_fraction=0.0))
    first = stub.StreamBatches(endless)
    next(first)
    with pytest.raises(grpc.RpcError) as failure:
        next(stub.StreamBatches(endless))
    assert failure.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    # Short calls still have threads of their own.
    assert stub.GetSummary(pb.SummaryRequest()).labelled == 50
    first.cancel()
    until(lambda: serving.service.metric("hemline_serve_open_streams") == 0, what="it is closed")
    assert next(stub.StreamBatches(endless)).position == 0


def test_sigterm_ends_open_streams_between_two_batches(place: Place) -> None:
    place.publish()
    place.import_numbers(0, 50)
    serving = place.serve().start()
    stream = call(serving.address).StreamBatches(
        pb.BatchRequest(batch_size=8, mix=pb.Mix(fresh_fraction=0.0))
    )
    next(stream)
    serving.service.process.terminate()
    with pytest.raises(grpc.RpcError) as failure:
        for _ in stream:
            pass
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
    assert serving.service.process.wait(60) == 0


def test_a_new_lake_is_filled_once_however_many_do_it(place: Place) -> None:
    serving = place.serve().start_unfilled()
    stub = call(serving.address)
    with pytest.raises(grpc.RpcError) as failure:
        stub.GetSummary(pb.SummaryRequest())
    assert failure.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "hemline-samples init" in failure.value.details()
    assert not serving.service.is_healthy()
    command = (sys.executable, "-m", "hemline_samples", "init")
    where = ("--lake", place.uri, "--classifier", "mnist", "--data", "fashion-mnist-sample")
    both = [subprocess.Popen([*command, *where]) for _ in range(2)]
    assert [process.wait(170) for process in both] == [0, 0]
    assert place.lake.models.versions() == [1]
    summary = place.samples().summary(place.lake.models.card(1)["classes"])
    # All of train, and the odd half of the official test set.
    assert (summary.images, summary.labelled) == (15_000, 15_000)
    assert summary.stream_images == 0
    serving.service.wait_healthy()
    assert stub.TakeSnapshot(pb.TakeSnapshotRequest()).test_samples == 5_000


def test_a_taken_port_is_one_line_and_exit_code_2(
    served: tuple[Place, Stub, pb.Snapshot],
) -> None:
    place, _, _ = served
    again = place.service("serve", "--listen", place.address)
    assert again.spawn().wait(60) == 2
    assert again.log().count("\n") == 1
    assert again.log().startswith("error: --listen")
