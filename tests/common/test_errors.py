import subprocess
import sys

import pytest

from gan_tf.common.errors import InputError, exit_on_input_error


def test_an_input_error_ends_the_command_with_its_sentence():
    with pytest.raises(SystemExit) as caught, exit_on_input_error():
        raise InputError("--epochs is 0.")
    assert caught.value.code == "gan_tf: --epochs is 0."


def test_ctrl_c_ends_the_command_quietly(capsys):
    with pytest.raises(SystemExit) as caught, exit_on_input_error():
        raise KeyboardInterrupt
    assert caught.value.code == 130 and capsys.readouterr().err == "\ngan_tf: stopped.\n"


def test_other_errors_keep_their_traceback():
    with pytest.raises(ValueError, match="a bug"), exit_on_input_error():
        raise ValueError("a bug")


def test_a_pipe_whose_reader_has_gone_ends_the_command_quietly():
    code = "from gan_tf.common.errors import exit_on_input_error\nwith exit_on_input_error():\n    print('x' * 10**6)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 141
