from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGIN_ANY: _ClassVar[Origin]
    ORIGIN_IMPORT: _ClassVar[Origin]
    ORIGIN_STREAM: _ClassVar[Origin]
ORIGIN_ANY: Origin
ORIGIN_IMPORT: Origin
ORIGIN_STREAM: Origin

class Snapshot(_message.Message):
    __slots__ = ("images", "labels", "predictions")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    images: int
    labels: int
    predictions: int
    def __init__(self, images: _Optional[int] = ..., labels: _Optional[int] = ..., predictions: _Optional[int] = ...) -> None: ...

class TakeSnapshotRequest(_message.Message):
    __slots__ = ("tag", "fresh_since")
    TAG_FIELD_NUMBER: _ClassVar[int]
    FRESH_SINCE_FIELD_NUMBER: _ClassVar[int]
    tag: str
    fresh_since: Snapshot
    def __init__(self, tag: _Optional[str] = ..., fresh_since: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class SnapshotReply(_message.Message):
    __slots__ = ("snapshot", "height", "width", "channels", "class_names", "train_samples", "validation_samples", "test_samples", "fresh_train_samples", "fresh_validation_samples")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    TEST_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FRESH_TRAIN_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FRESH_VALIDATION_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    height: int
    width: int
    channels: int
    class_names: _containers.RepeatedScalarFieldContainer[str]
    train_samples: int
    validation_samples: int
    test_samples: int
    fresh_train_samples: int
    fresh_validation_samples: int
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., channels: _Optional[int] = ..., class_names: _Optional[_Iterable[str]] = ..., train_samples: _Optional[int] = ..., validation_samples: _Optional[int] = ..., test_samples: _Optional[int] = ..., fresh_train_samples: _Optional[int] = ..., fresh_validation_samples: _Optional[int] = ...) -> None: ...

class SummaryRequest(_message.Message):
    __slots__ = ("since", "window", "answered_since")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_SINCE_FIELD_NUMBER: _ClassVar[int]
    since: Snapshot
    window: int
    answered_since: Snapshot
    def __init__(self, since: _Optional[_Union[Snapshot, _Mapping]] = ..., window: _Optional[int] = ..., answered_since: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class Summary(_message.Message):
    __slots__ = ("snapshot", "images", "labelled", "stream_images", "stream_labelled", "fresh_labelled", "waiting_for_label", "waiting_for_image", "unknown_labels", "classes", "versions")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    LABELLED_FIELD_NUMBER: _ClassVar[int]
    STREAM_IMAGES_FIELD_NUMBER: _ClassVar[int]
    STREAM_LABELLED_FIELD_NUMBER: _ClassVar[int]
    FRESH_LABELLED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_LABEL_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_IMAGE_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_LABELS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    images: int
    labelled: int
    stream_images: int
    stream_labelled: int
    fresh_labelled: int
    waiting_for_label: int
    waiting_for_image: int
    unknown_labels: int
    classes: _containers.RepeatedCompositeFieldContainer[ClassCount]
    versions: _containers.RepeatedCompositeFieldContainer[VersionAccuracy]
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., images: _Optional[int] = ..., labelled: _Optional[int] = ..., stream_images: _Optional[int] = ..., stream_labelled: _Optional[int] = ..., fresh_labelled: _Optional[int] = ..., waiting_for_label: _Optional[int] = ..., waiting_for_image: _Optional[int] = ..., unknown_labels: _Optional[int] = ..., classes: _Optional[_Iterable[_Union[ClassCount, _Mapping]]] = ..., versions: _Optional[_Iterable[_Union[VersionAccuracy, _Mapping]]] = ...) -> None: ...

class ClassCount(_message.Message):
    __slots__ = ("name", "labelled")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELLED_FIELD_NUMBER: _ClassVar[int]
    name: str
    labelled: int
    def __init__(self, name: _Optional[str] = ..., labelled: _Optional[int] = ...) -> None: ...

class VersionAccuracy(_message.Message):
    __slots__ = ("version", "labelled", "correct", "answered")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELLED_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    version: int
    labelled: int
    correct: int
    answered: int
    def __init__(self, version: _Optional[int] = ..., labelled: _Optional[int] = ..., correct: _Optional[int] = ..., answered: _Optional[int] = ...) -> None: ...

class Mix(_message.Message):
    __slots__ = ("fresh_fraction", "fresh_since")
    FRESH_FRACTION_FIELD_NUMBER: _ClassVar[int]
    FRESH_SINCE_FIELD_NUMBER: _ClassVar[int]
    fresh_fraction: float
    fresh_since: Snapshot
    def __init__(self, fresh_fraction: _Optional[float] = ..., fresh_since: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class BatchRequest(_message.Message):
    __slots__ = ("snapshot", "split", "seed", "shard", "num_shards", "position", "batch_size", "num_batches", "mix", "origin", "labelled_since")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    NUM_SHARDS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    NUM_BATCHES_FIELD_NUMBER: _ClassVar[int]
    MIX_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    LABELLED_SINCE_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    split: str
    seed: int
    shard: int
    num_shards: int
    position: int
    batch_size: int
    num_batches: int
    mix: Mix
    origin: Origin
    labelled_since: Snapshot
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., split: _Optional[str] = ..., seed: _Optional[int] = ..., shard: _Optional[int] = ..., num_shards: _Optional[int] = ..., position: _Optional[int] = ..., batch_size: _Optional[int] = ..., num_batches: _Optional[int] = ..., mix: _Optional[_Union[Mix, _Mapping]] = ..., origin: _Optional[_Union[Origin, str]] = ..., labelled_since: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class SampleBatch(_message.Message):
    __slots__ = ("position", "images", "labels", "fresh")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    position: int
    images: bytes
    labels: _containers.RepeatedScalarFieldContainer[int]
    fresh: int
    def __init__(self, position: _Optional[int] = ..., images: _Optional[bytes] = ..., labels: _Optional[_Iterable[int]] = ..., fresh: _Optional[int] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("uid",)
    UID_FIELD_NUMBER: _ClassVar[int]
    uid: str
    def __init__(self, uid: _Optional[str] = ...) -> None: ...

class ReportReply(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: bytes
    def __init__(self, report: _Optional[bytes] = ...) -> None: ...
