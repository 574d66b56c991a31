"""Events on the broker: CloudEvents 1.0 in binary mode, the image id as ``id`` and as the broker's key.

An image is its encoded bytes, typed by ``content-type``; a prediction and a label are the JSON documents below.
"""

from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from hemline_api._errors import BadEvent, first_problem

__all__ = [
    "GROUP_EXTENSION",
    "IMAGE_CONTENT_TYPES",
    "IMAGE_TYPE",
    "JSON_CONTENT_TYPE",
    "LABEL_TYPE",
    "MAX_MESSAGE_BYTES",
    "PREDICTION_TYPE",
    "Label",
    "Prediction",
]

IMAGE_TYPE: Final = "dev.hemline.image"
PREDICTION_TYPE: Final = "dev.hemline.prediction"
LABEL_TYPE: Final = "dev.hemline.label"

IMAGE_CONTENT_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "application/x-npy")
JSON_CONTENT_TYPE: Final = "application/json"
GROUP_EXTENSION: Final = "group"

MAX_MESSAGE_BYTES: Final = 15_728_640
"""Key + headers + body + 1 KiB of one message may not exceed this."""

_MAX_ID = 1024
_MAX_CLASSES = 1000
_Id = Annotated[str, Field(min_length=1, max_length=_MAX_ID)]
_Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Prediction(BaseModel):
    """An answer: which class, how sure, by which model version, and when (UTC)."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    id: _Id = Field(description="The image's id.")
    label: int = Field(ge=0, description="Index of the class.")
    label_name: str = Field(max_length=256, description="Name of the class.")
    confidence: _Probability = Field(description="Calibrated probability of the class.")
    probabilities: Annotated[list[_Probability], Field(max_length=_MAX_CLASSES)] | None = Field(
        default=None, description="Calibrated probability of every class, when asked for."
    )
    model_version: int = Field(ge=1, description="The version that answered.")
    received_at: AwareDatetime = Field(description="When inference took the image from the broker.")
    predicted_at: AwareDatetime = Field(description="When the model had answered.")

    def to_json(self) -> bytes:
        """The body of the message."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Prediction":
        """Read a body.

        Raises:
            BadEvent: it is no JSON, or a field is missing or out of range.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BadEvent(f"no prediction: {first_problem(error)}") from error


class Label(BaseModel):
    """What an image really shows: a class index, a class name, or ``null`` to retract an earlier label.

    Of several labels for one image the one with the greatest CloudEvents ``time`` holds, then the one with the
    greater event id.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: _Id = Field(description="The image's id.")
    # strict, or JSON's true would be class 1 and 3.0 class 3
    label: (
        Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]
        | Annotated[str, Field(min_length=1, max_length=256)]
        | None
    ) = Field(description="Index or name of the class; null retracts.")
    source: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="Who says so: a person, a process, a system."
    )

    def to_json(self) -> bytes:
        """The body of the message."""
        exclude = {"source"} if self.source is None else None
        return self.model_dump_json(exclude=exclude).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Label":
        """Read a body.

        Raises:
            BadEvent: it is no JSON, or a field is missing or of another type.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BadEvent(f"no label: {first_problem(error)}") from error
