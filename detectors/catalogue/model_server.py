"""A model on a model server: the table `server` of its entry."""

import json
from typing import Literal

from pydantic import Field

from detectors.strict import Strict

SERVED_FORMATS = ("oip", "tf_serving")
"""The protocols: the Open Inference Protocol v2, and the REST API of TensorFlow Serving."""


class ModelServer(Strict):
    """A model on a server, and how requests are sent to it."""

    # Without a user and a password, because logs and answers show it.
    url: str = Field(pattern=r"^https?://[^\s@?#]+$", description="The server's address, without /v1 or /v2.")
    model: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="The model's name on the server.")
    version: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]+$", description="The model's version. Without it the server chooses."
    )
    signature: str | None = Field(
        None, min_length=1, description="With tf_serving: the model's signature, if not the default one."
    )
    encoding: Literal["tensor", "png"] = Field("tensor", description="png: pictures are sent as PNG files in base64.")
    binary: bool | None = Field(
        None, description="With oip: tensors as bytes after the JSON. Without it, if the server reports support."
    )
    request_size: int | None = Field(
        None, ge=1, description="Pictures per request. Without it all pictures of a batch."
    )
    requests: int = Field(4, ge=1, le=64, description="Concurrent requests per worker process.")
    timeout_s: float = Field(10.0, gt=0, le=60, description="Time limit of a request in seconds, with its retries.")

    @property
    def identity(self) -> str:
        """JSON of everything that decides which model answers."""
        fields = {"url", "model", "version", "signature", "encoding"}
        return json.dumps(self.model_dump(include=fields, exclude_none=True), sort_keys=True)

    @property
    def location(self) -> str:
        """The address, the model and the version: for messages."""
        return f"{self.url.rstrip('/')} {self.model}" + (f" version {self.version}" if self.version else "")
