"""The machine program's one exception."""


class MachineError(Exception):
    """The machine can't do what it was told; the message says why, and what to do."""
