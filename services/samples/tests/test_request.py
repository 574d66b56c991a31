import pytest

from hemline_api.grpc import samples_pb2 as pb
from hemline_model import InputContract
from hemline_samples._errors import TooLarge
from hemline_samples._request import parse_request


def test_an_empty_request_is_one_pass_over_train():
    request = parse_request(pb.BatchRequest())
    assert (request.split, request.seed, request.position, request.num_batches) == (
        "train", 0, 0, None,
    )  # fmt: skip
    assert (request.shard.index, request.shard.count) == (0, 1)
    assert request.snapshot is None and request.mix is None and request.origin is None


def test_a_snapshot_of_nothing_is_not_the_same_as_none():
    request = parse_request(pb.BatchRequest(labelled_since=pb.Snapshot()))
    assert request.labelled_since is not None
    assert request.labelled_since.labels == 0


def test_batches_that_fit_into_no_message_are_refused():
    large = InputContract(height=1024, width=1024, channels=3)
    parse_request(pb.BatchRequest(batch_size=42)).check_size(large)
    with pytest.raises(TooLarge, match="expected at most 42 to a batch"):
        parse_request(pb.BatchRequest(batch_size=43)).check_size(large)
