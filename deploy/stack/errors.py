"""What can go wrong with the local stack."""


class StackError(Exception):
    """The local stack can't do what was asked: ``message`` says what happened, ``hint`` what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")
        self.message, self.hint = message, hint
