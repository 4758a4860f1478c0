"""Without a GPU here, TensorFlow's answers about one are made up; what is checked is what it gets asked to do."""

import pytest
import tensorflow as tf

from gan_tf.common.errors import InputError
from gan_tf.run import devices


@pytest.fixture
def two_gpus(monkeypatch):
    """TensorFlow says that there are two GPUs, and what it was asked to grow is returned."""
    gpus = [tf.config.PhysicalDevice(f"/physical_device:GPU:{number}", "GPU") for number in range(2)]
    grown = {}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", grown.__setitem__)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": "NVIDIA T4"})
    return gpus, grown


def test_the_memory_of_every_gpu_grows(two_gpus):
    gpus, grown = two_gpus
    devices.prepare()
    assert grown == dict.fromkeys(gpus, True) and devices.describe() == "NVIDIA T4, NVIDIA T4"
    grown.clear()
    devices.prepare("gpu")
    assert grown == dict.fromkeys(gpus, True)


def test_what_comes_too_late_is_said_in_a_sentence(two_gpus, monkeypatch, capsys):
    def refuse(gpu, grow):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    devices.prepare()
    said = capsys.readouterr().err
    assert said.startswith("gan_tf: TensorFlow may keep all memory of the GPU to itself (Physical devices cannot be")
    assert said.count("\n") == 1

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(InputError, match="--device is cpu, but this process has already computed on a GPU"):
        devices.prepare("cpu")


def test_the_cpu_is_taken_by_hiding_the_gpus(two_gpus, monkeypatch):
    hidden = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda chosen, kind: hidden.append((chosen, kind)))
    devices.prepare("cpu")
    assert hidden == [([], "GPU")] and not two_gpus[1]


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_missed_before_anything_is_written(tmp_path):
    from gan_tf import train

    with pytest.raises(SystemExit, match="gan_tf: --device is gpu, but TensorFlow finds no GPU here"):
        train.main(["--dataset", "digits", "--device", "gpu", "--run", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
    devices.prepare("cpu")
    assert devices.describe().startswith("CPU, ") and not devices.gpu_has_room(1)


def test_commands_prepare_the_gpu_before_they_load_a_generator(tmp_path, monkeypatch):
    """In the order of calls: after the first operation on a GPU, its memory can no longer be set to grow."""
    from gan_tf import evaluate, export, generate, page
    from gan_tf.run.folder import Run

    calls = []

    def open_run(folder):
        calls.append("open")
        raise InputError("enough")

    monkeypatch.setattr(devices, "prepare", lambda: calls.append("prepare"))
    monkeypatch.setattr(Run, "open", open_run)
    for command, options in {generate: [], evaluate: [], page: [], export: ["--to", "savedmodel"]}.items():
        with pytest.raises(SystemExit, match="enough"):
            command.main([str(tmp_path), *options])
    assert calls == ["prepare", "open"] * 4


def test_room_on_a_gpu_is_tried(two_gpus, monkeypatch):
    tried = []
    monkeypatch.setattr(tf, "zeros", lambda shape, dtype: tried.append((shape, dtype)))
    assert devices.gpu_has_room(1000) and tried == [((4, 1000), tf.uint8)]
    assert not devices.gpu_has_room(2**31) and len(tried) == 1

    def exhausted(shape, dtype):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(tf, "zeros", exhausted)
    assert not devices.gpu_has_room(1000)
