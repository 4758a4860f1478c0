"""What CI installs, .ci/newest.txt and .ci/oldest.txt, is what pyproject.toml allows."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

CI = Path(__file__).parents[1] / ".ci"
FOR_EVERYBODY = ("hub", "notebooks", "tensorboard", "test", "video")  # The extras in requirements.txt.


def pinned(name: str) -> dict[str, list[Version]]:
    """The versions of each package in a file of CI, one for each kind of machine. Each must have a hash."""
    found: dict[str, list[Version]] = {}
    entries = re.sub(r"\\\n", " ", (CI / f"{name}.txt").read_text()).splitlines()
    for entry in (entry for entry in entries if not entry.lstrip().startswith("#")):
        package, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()
        assert "--hash=sha256:" in entry, entry
        found.setdefault(package, []).append(Version(version))
    return found


@pytest.mark.parametrize(
    ("name", "extras"), [("newest", (*FOR_EVERYBODY, "browser", "export", "sweep")), ("oldest", FOR_EVERYBODY)]
)
def test_ci_installs_what_pyproject_allows(name, extras):
    versions = pinned(name)
    wanted = [Requirement(text) for text in importlib.metadata.requires("gan_tf")]
    wanted = [one for one in wanted if not one.marker or any(one.marker.evaluate({"extra": e}) for e in extras)]
    assert len(wanted) > 20
    missing = [
        str(one) for one in wanted if not any(map(one.specifier.contains, versions.get(one.name.replace("_", "-"), ())))
    ]
    assert not missing, f"Run make lock: .ci/{name}.txt has no version of {missing}."


def test_oldest_is_older():
    newest, oldest = pinned("newest"), pinned("oldest")
    for package in ("tensorflow", "keras", "numpy", "pillow", "pytest"):
        assert max(oldest[package]) < max(newest[package])
