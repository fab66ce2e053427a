"""The base of every message between our own processes."""

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """A message. Additive: unknown fields are ignored, because an older worker may receive a newer message.

    Fields are only ever added, with a default; a message is the one argument of its workflow or activity.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
