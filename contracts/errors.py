"""The one exception that activities raise for what they understand."""

from api.errors import ERRORS, ErrorCode

MAX_MESSAGE = 2000
"""Characters of a message: failures travel in histories, whose payloads are bounded."""


class StepError(Exception):
    """A step failed in a way that has a name.

    ``code`` decides whether it is retried and what the hint says (``api.errors.ERRORS``); ``message`` is one
    sentence about what happened to what. It must not hold secrets: vendor texts are summarised, not copied.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message[:MAX_MESSAGE])
        self.code = code
        self.message = message[:MAX_MESSAGE]

    @property
    def retryable(self) -> bool:
        """Whether trying again can help."""
        return ERRORS[self.code].retryable

    @property
    def hint(self) -> str:
        """What a person should do next."""
        return ERRORS[self.code].hint
