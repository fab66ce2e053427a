"""What can go wrong with binaries, said so that the reader knows what to do next."""


class BinariesError(Exception):
    """An executable can't be had; the message says which, why, and what to do."""


class UnreachableError(BinariesError):
    """A download site stopped answering; building from the pinned Go modules may still work."""
