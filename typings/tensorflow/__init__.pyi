"""For pyright: the stubs and inferred types for this package are incomplete, so everything in it is Any."""

from typing import Any

def __getattr__(name: str) -> Any: ...
