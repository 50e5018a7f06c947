"""What is wrong with a command line where no place in a file can be named, and how commands end."""

USER_ERROR = 2
INTERRUPTED = 130


class UserError(Exception):
    """A mistake on the command line: no such run, no such stage."""
