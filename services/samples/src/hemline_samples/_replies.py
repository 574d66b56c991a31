"""From what the lake says to what travels."""

import numpy as np

from hemline_api.grpc import samples_pb2 as pb
from hemline_samples._dataset import SPLITS, DataSet
from hemline_samples._request import to_wire
from hemline_store import Snapshot
from hemline_store.tables import Summary

__all__ = ["snapshot_reply", "summary_reply"]


def snapshot_reply(data: DataSet, fresh_since: Snapshot | None) -> pb.SnapshotReply:
    """What a client needs to know of a snapshot before it asks for streams."""
    fresh = data.fresh_after(fresh_since)
    return pb.SnapshotReply(
        snapshot=to_wire(data.snapshot),
        height=data.contract.height,
        width=data.contract.width,
        channels=data.contract.channels,
        class_names=data.classes,
        train_samples=data.count("train"),
        validation_samples=data.count("validation"),
        test_samples=data.count("test"),
        fresh_train_samples=int(np.count_nonzero(fresh & (data.splits == SPLITS["train"]))),
        fresh_validation_samples=int(
            np.count_nonzero(fresh & (data.splits == SPLITS["validation"]))
        ),
    )


def summary_reply(summary: Summary) -> pb.Summary:
    """Counts as they travel."""
    return pb.Summary(
        snapshot=to_wire(summary.snapshot),
        images=summary.images,
        labelled=summary.labelled,
        stream_images=summary.stream_images,
        stream_labelled=summary.stream_labelled,
        fresh_labelled=summary.fresh_labelled,
        waiting_for_label=summary.waiting_for_label,
        waiting_for_image=summary.waiting_for_image,
        unknown_labels=summary.unknown_labels,
        classes=[pb.ClassCount(name=one.name, labelled=one.labelled) for one in summary.classes],
        versions=[
            pb.VersionAccuracy(
                version=version.version,
                labelled=version.labelled,
                correct=version.correct,
                answered=version.answered,
            )
            for version in summary.versions
        ],
    )
