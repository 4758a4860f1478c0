"""The one exception that users see, and how commands show it."""

import contextlib
import os
import sys
from collections.abc import Iterator


class InputError(Exception):
    """Raised for input that cannot be used. The message is one sentence for the user: what is wrong, what is
    allowed, what to do. Commands print it without a traceback and exit with status 1.

    It is not a ValueError, because tyro catches those and frames them.
    """


@contextlib.contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Exit with the message of an InputError (status 1), or quietly after Ctrl-C (status 130) and when the reader of
    a pipe has gone, as after `| head` (status 141, as the shell gives for SIGPIPE)."""
    try:
        yield
        sys.stdout.flush()
    except InputError as error:
        sys.exit(f"gan_tf: {error}")
    except KeyboardInterrupt:
        print("\ngan_tf: stopped.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Python flushes standard output once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
