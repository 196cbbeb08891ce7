"""The errors that are meant for the user's eyes; scripts print them without a traceback."""


class InputError(ValueError):
    """Something the user handed in is wrong.

    The message names the file, the row or key, and the remedy.
    """


class Stopped(Exception):
    """The job ended early in good order, and running it again continues it; the message says why and where."""
