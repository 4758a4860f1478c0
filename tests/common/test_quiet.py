import os
import subprocess
import sys
from pathlib import Path

import pytest

LOGS = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795537083.824294   11289 port.cc:153] oneDNN custom operations are on.",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.",
    "E0000 00:00:1795537087.571026   11289 cuda_platform.cc:52] failed call to cuInit",
    "2024-11-24 10:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.",
]


def run(program, level="3", path=()):
    """The result of a Python program, in a process whose modules are first searched in `path`."""
    return python(["-c", program], level, path)


def python(arguments, level="3", path=()):
    root = Path(__file__).parents[2]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": level, "PYTHONPATH": os.pathsep.join(map(str, [*path, root]))}
    if not level:
        del env["TF_CPP_MIN_LOG_LEVEL"]
    return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True)


@pytest.fixture
def fake_tensorflow(tmp_path):
    """Make a package tensorflow that writes these lines to file descriptor 2, then runs `then`."""

    def make(lines, then=""):
        (tmp_path / "tensorflow").mkdir()
        text = "".join(f"{line}\n" for line in lines)
        write = f"import os\nos.write(2, {text.encode()!r})\n" if lines else ""
        (tmp_path / "tensorflow" / "__init__.py").write_text(f"{write}{then}\n")
        return [tmp_path]

    return make


def test_an_import_hides_the_log_and_passes_other_lines_on(fake_tensorflow):
    path = fake_tensorflow([*LOGS, "UserWarning: NumPy is too old"], "import sys; print('by Python', file=sys.stderr)")
    result = run("import gan_tf, os, tensorflow; os.write(2, b'after\\n')", "", path)
    assert result.stderr == "UserWarning: NumPy is too old\nby Python\nafter\n"


def test_a_failed_import_shows_all_its_output_before_the_traceback(fake_tensorflow):
    path = fake_tensorflow([*LOGS, "libcudart is missing"], "raise ImportError('broken')")
    stderr = run("import gan_tf, tensorflow", "", path).stderr
    assert stderr.startswith("\n".join([*LOGS, "libcudart is missing", "Traceback"]))
    assert stderr.endswith("ImportError: broken\n")


def test_the_environment_can_ask_for_the_log(fake_tensorflow):
    path = fake_tensorflow(LOGS)
    assert run("import gan_tf, tensorflow", "0", path).stderr.splitlines() == LOGS
    assert run("import gan_tf, tensorflow", "3", path).stderr == ""


def test_a_process_without_error_output_can_import(fake_tensorflow):
    path = fake_tensorflow([])
    result = run("import os; os.close(2); import gan_tf, tensorflow; print('done')", "", path)
    assert (result.returncode, result.stdout) == (0, "done\n")


def test_nothing_but_tensorflow_is_touched_and_looking_for_it_does_not_import_it():
    result = run(
        "import gan_tf, sys, importlib.util as u; print(u.find_spec('tensorflow').name, 'tensorflow' in sys.modules)"
    )
    assert (result.stdout, result.stderr) == ("tensorflow False\n", "")


def test_a_training_prints_nothing_of_tensorflow(tmp_path):
    options = ["--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "4", "--run", str(tmp_path / "run")]
    result = python(["-m", "gan_tf.train", *options], "")
    assert "Trained 2 steps" in result.stdout
    assert not result.stderr.strip() and "port.cc" not in result.stdout


def test_a_command_imports_keras_without_packages_that_it_does_not_use():
    program = (
        "import sys, gan_tf\n"
        "from gan_tf.common.quiet import OPTIONAL, skip_optional_packages\n"
        "skip_optional_packages()\n"
        "import keras\n"
        "print([name for name in OPTIONAL if name in sys.modules])\n"
        "import matplotlib.figure, sklearn.cluster\n"
        "print(keras.ops.sum([1, 2]).numpy())"
    )
    result = run(program)
    assert (result.stdout, result.stderr) == ("[]\n3\n", "")


@pytest.mark.slow
def test_elsewhere_keras_finds_the_packages_that_are_installed():
    assert run("import sys, gan_tf, keras; print('sklearn' in sys.modules)").stdout == "True\n"
