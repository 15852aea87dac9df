"""A picture in a message of a cloud's queue."""

from typing import Self

from pydantic import model_validator

from serverless.requests import Question


class Message(Question):
    """A picture as a message: where it lies, or itself."""

    uri: str | None = None
    image_base64: str | None = None

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        if (self.uri is None) == (self.image_base64 is None):
            raise ValueError("give either uri or image_base64")
        return self
