"""Import TensorFlow without the lines that it logs on the way, and Keras without the packages that no command uses."""

import contextlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator

# What TensorFlow's C++ code logs: absl's lines, those of TensorFlow 2.19 and older, and two without a prefix.
LOG_LINE = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    rb"|WARNING: All log messages before absl::|To enable the following instructions:"
)


@contextlib.contextmanager
def without_tensorflow_logs() -> Iterator[None]:
    """Hold back the process's error output during the block, then pass on what is not one of TensorFlow's log lines.

    TensorFlow's C++ code writes to file descriptor 2 itself, so replacing sys.stderr would not catch it. If the block
    raises, everything is passed on. If the block kills the process, what was held back is lost.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # The process has no error output.
        yield
        return
    with tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        os.dup2(held_back.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held_back.seek(0)
            for line in held_back:
                if failed or not LOG_LINE.match(line):
                    os.write(2, line)


# Keras imports these if they are installed, for conveniences that gan_tf's commands don't use.
OPTIONAL = ("matplotlib", "pandas", "sklearn")


@contextlib.contextmanager
def without_optional_packages() -> Iterator[None]:
    """Let imports of the OPTIONAL packages fail during the block, unless they were imported before."""
    absent = [name for name in OPTIONAL if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # An import of it raises ModuleNotFoundError.
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class ImportWithin(importlib.abc.MetaPathFinder):
    """Finds a package where Python does, and runs its import within a context, whichever module asks for it."""

    def __init__(self, package: str, context: Callable[[], contextlib.AbstractContextManager]):
        self.package, self.context = package, context

    def find_spec(self, fullname, path, target=None):
        if fullname != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_within(module):
                with self.context():
                    load(module)

            spec.loader.exec_module = load_within
        return spec


def silence_tensorflow() -> None:
    """Hide TensorFlow's log, at its import and after it.

    TF_CPP_MIN_LOG_LEVEL=3 hides what TensorFlow logs once it has read that variable. The ten lines or so that it logs
    earlier are filtered during the import. Set the variable to 0 to see everything.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        sys.meta_path.insert(0, ImportWithin("tensorflow", without_tensorflow_logs))


def skip_optional_packages() -> None:
    """Make the process's import of Keras leave the OPTIONAL packages out. They can still be imported after it.

    For commands only: a user's program may pass data frames to Keras.
    """
    sys.meta_path.insert(0, ImportWithin("keras", without_optional_packages))
