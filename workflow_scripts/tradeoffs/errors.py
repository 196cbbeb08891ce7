"""The one error that is meant for the user's eyes."""


class InputError(ValueError):
    """Something the user handed in is wrong.

    The message names the file, the row or key, and the remedy; scripts print it without a traceback.
    """
