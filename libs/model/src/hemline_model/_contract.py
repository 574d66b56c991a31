"""What a model takes in: the shape of one image."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MAX_CLASSES", "InputContract"]

MAX_CLASSES = 1000
"""Most classes that a model tells apart."""


class InputContract(BaseModel):
    """Height, width (pixels) and channels (1 grey, 3 RGB) of the uint8 images a model takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=8, le=1024)
    width: int = Field(ge=8, le=1024)
    channels: Literal[1, 3]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return (self.height, self.width, self.channels)

    @property
    def num_bytes(self) -> int:
        """Bytes of one image as a uint8 array."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"
