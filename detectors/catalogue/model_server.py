"""Where a model is asked that runs in a server of somebody else's: the table `server` of its entry."""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SERVED_FORMATS = ("oip", "tf_serving")
"""What servers speak: the Open Inference Protocol v2, and the REST of TensorFlow Serving."""


class ModelServer(BaseModel):
    """A model on a server, and how it is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Without a user and a password: it is told in logs and answers.
    url: str = Field(pattern=r"^https?://[^\s@?#]+$", description="Of the server, before /v1 or /v2.")
    model: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="What the server calls the model.")
    version: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]+$", description="The version to ask. Without it the server chooses."
    )
    signature: str | None = Field(None, min_length=1, description="With tf_serving: of the model, if not the default.")
    encoding: Literal["tensor", "png"] = Field("tensor", description="png: pictures go as files, in base64.")
    binary: bool | None = Field(
        None, description="With oip: tensors as bytes behind the JSON. Without it, if the server says that it can."
    )
    request_size: int | None = Field(None, ge=1, description="Pictures a request. Without it all of a claim.")
    requests: int = Field(4, ge=1, le=64, description="Requests at once, of each worker process.")
    timeout_s: float = Field(10.0, gt=0, le=60, description="Seconds that a request may take, with its repetitions.")

    @property
    def identity(self) -> str:
        """What makes it another model, where it differs."""
        fields = {"url", "model", "version", "signature", "encoding"}
        return json.dumps(self.model_dump(include=fields, exclude_none=True), sort_keys=True)

    @property
    def place(self) -> str:
        """For people: the address, the model and the version."""
        return f"{self.url.rstrip('/')} {self.model}" + (f" version {self.version}" if self.version else "")
