"""What can be wrong with a file of the inbox before its content matters.

InboxError
├── Refused        it is too large, or cannot be read
├── UnknownSource  a partition has no file
└── FileChanged    a file was written to after it was taken
"""


class InboxError(Exception):
    """A file cannot be processed; the message is a sentence for the user."""


class Refused(InboxError):
    """It is too large, or cannot be read."""


class UnknownSource(InboxError):
    """A partition has no file."""


class FileChanged(InboxError):
    """A file was written to after it was taken."""
