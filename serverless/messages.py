"""A message of a cloud's queue."""

from typing import Self

from pydantic import model_validator

from serverless.requests import RequestOptions


class Message(RequestOptions):
    """A picture in a message: its URI, or its bytes in base64."""

    uri: str | None = None
    image_base64: str | None = None

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        if (self.uri is None) == (self.image_base64 is None):
            raise ValueError("send either uri or image_base64")
        return self
