"""What can be wrong with a request, as opposed to with the program."""


class UsageError(Exception):
    """A request that cannot be met; the message is one sentence that says why, and what would do.

    The command line prints it and exits with status 2.
    """
