"""The pydantic base of what people write by hand: catalogues and requests."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Refuses fields that it does not know, and can't be changed once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)
