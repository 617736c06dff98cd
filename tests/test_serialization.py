"""Saving and loading tensors: bit-equal, atomic, and typed errors for every broken file."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_adam as tg
from tinygrad_adam import files, nn, serialization
from tinygrad_adam.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    MissingPackageError,
    StateDictError,
)

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
]  # fmt: skip


def assert_bit_equal(loaded, saved):
    loaded, saved = np.asarray(loaded), np.asarray(saved)
    assert loaded.shape == saved.shape
    assert loaded.dtype == saved.dtype.newbyteorder("=")
    native = saved.astype(loaded.dtype)
    assert np.ascontiguousarray(loaded).tobytes() == np.ascontiguousarray(native).tobytes()


def round_trip(state, tmp_path, **kwargs):
    path = tmp_path / "file.safetensors"
    tg.save(state, path, **kwargs)
    return tg.load(path)


GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "array",
    [
        GRID,
        GRID.T,
        GRID.transpose(2, 0, 1),
        np.asfortranarray(GRID),
        GRID[:, ::2],
        GRID[::-1, :, ::-2],
        np.broadcast_to(np.float32(3.0), (2, 2)),
        np.array(1.5, dtype=np.float64),
        np.float32(2.5),
        np.zeros((0,), dtype=np.float32),
        np.zeros((3, 0, 2), dtype=np.int64),
        np.array([-(2**63), 2**63 - 1]),
        np.array([[True, False]]),
        np.array([np.nan, -0.0, np.inf, 1e-45], dtype=np.float32),
        GRID.astype(">f4"),
        GRID.astype(">f8").T,
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_round_trip_is_bit_equal(array, tmp_path):
    loaded = round_trip({"x": array}, tmp_path)["x"]
    assert isinstance(loaded, tg.Tensor)
    assert_bit_equal(loaded.data, array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_round_trips(dtype, tmp_path):
    array = np.array([[0, 1, 2], [3, 1, 0]]).astype(dtype)
    assert_bit_equal(round_trip({"x": array}, tmp_path)["x"].data, array)


@given(
    array=hnp.arrays(
        dtype=st.sampled_from(DTYPES),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    data=st.data(),
)
def test_round_trip_of_any_layout(array, data, tmp_path_factory):
    axes = data.draw(st.permutations(range(array.ndim)))
    view = array.transpose(axes)[..., ::-1] if array.ndim else array
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    tg.save({"view": view, "base": array}, path)
    loaded = tg.load(path)
    assert_bit_equal(loaded["view"].data, view)
    assert_bit_equal(loaded["base"].data, array)


def test_tensors_and_arrays_mix_and_names_are_kept(tmp_path):
    state = {"b.w": tg.tensor([[1.0, 2.0]]).T, "a": np.int64(3), "ä/Ω key": tg.zeros(2)}
    loaded = round_trip(state, tmp_path)
    assert list(loaded) == sorted(state)
    assert loaded["b.w"].tolist() == [[1.0], [2.0]]
    assert loaded["a"].item() == 3


def test_loaded_tensors_are_writable_and_independent(tmp_path):
    path = tmp_path / "x.safetensors"
    weight = tg.tensor([1.0, 2.0])
    tg.save({"x": weight, "y": weight}, path)
    loaded = tg.load(path)
    loaded["x"].data[0] = 9.0
    assert loaded["y"].tolist() == [1.0, 2.0]
    assert tg.load(path)["x"].tolist() == [1.0, 2.0]


def test_an_empty_state_round_trips(tmp_path):
    assert round_trip({}, tmp_path) == {}


def test_metadata_round_trips(tmp_path):
    path = tmp_path / "x.safetensors"
    tg.save({"x": tg.zeros(1)}, path, metadata={"epoch": "3", "config": json.dumps({"lr": 0.1})})
    metadata = serialization.load_metadata(path)
    assert metadata == {"epoch": "3", "config": '{"lr": 0.1}'}
    assert list(tg.load(path)) == ["x"]
    tg.save({"x": tg.zeros(1)}, path)
    assert serialization.load_metadata(path) == {}


def test_a_model_round_trips_through_a_file(tmp_path):
    tg.manual_seed(0)
    source = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 3))
    target = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 3))
    loaded = round_trip(source.state_dict(), tmp_path)
    assert target.load_state_dict(loaded) == ([], [])
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        assert_bit_equal(b.data, a.data)


# --- broken files -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "m.safetensors"
    tg.save({"w": np.arange(12.0).reshape(3, 4), "b": np.zeros(3, bool)}, path, {"k": "v"})
    return path.read_bytes()


def test_truncation_at_every_offset_is_a_data_error(whole_file, tmp_path):
    path = tmp_path / "cut.safetensors"
    for size in range(len(whole_file)):
        path.write_bytes(whole_file[:size])
        with pytest.raises(DataError, match=r"cut\.safetensors.*truncated, corrupt"):
            tg.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"x",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: b"not a safetensors file at all",
        lambda data: data.replace(b"[3,4]", b"[3,5]"),
        lambda data: data.replace(b"[3,4]", b"[9,9]"),
        lambda data: data.replace(b'"F64"', b'"F99"'),
        lambda data: data.replace(b'"w"', b'"\xff"'),
    ],
)
def test_corrupt_files_are_data_errors(change, whole_file, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(change(whole_file))
    assert path.read_bytes() != whole_file
    with pytest.raises(DataError, match=r"bad\.safetensors"):
        tg.load(path)
    with pytest.raises(DataError, match=r"bad\.safetensors"):
        serialization.load_metadata(path)


@given(position=st.integers(0, 200), byte=st.integers(0, 255))
def test_a_changed_byte_gives_tensors_or_a_data_error(position, byte, whole_file, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "flip.safetensors"
    data = bytearray(whole_file)
    data[position % len(data)] = byte
    path.write_bytes(data)
    try:
        loaded = tg.load(path)
    except DataError:
        return
    assert all(isinstance(value, tg.Tensor) for value in loaded.values())


def test_a_type_numpy_lacks_is_named(tmp_path):
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "bf16.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(DataError, match=r"'w' as BF16.*F32"):
        tg.load(path)


@pytest.mark.parametrize("read", [tg.load, serialization.load_metadata])
def test_missing_files_and_directories_are_data_errors(read, tmp_path):
    with pytest.raises(DataError, match="nowhere") as caught:
        read(tmp_path / "nowhere.safetensors")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path)


def test_an_unknown_device_is_refused(whole_file, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(whole_file)
    with pytest.raises(DeviceError):
        tg.load(path, device="tpu")
    assert tg.load(path, device="cpu")["w"].shape == (3, 4)


@pytest.mark.parametrize("device", ["cuda:1", None])
def test_tensors_go_to_the_device_asked_for(device, whole_file, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    path.write_bytes(whole_file)
    targets = []
    monkeypatch.setattr(
        serialization, "to_device", lambda array, target: targets.append(target) or array
    )
    tg.load(path, device=device)
    assert targets == [device or "cpu"] * 2


# --- saving: what is refused, and what a failure leaves behind ----------------------------------


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        ([("x", np.zeros(1))], ArgumentError, "mapping"),
        ({3: np.zeros(1)}, ArgumentError, "3 cannot name a tensor"),
        ({"": np.zeros(1)}, ArgumentError, "non-empty"),
        ({"__metadata__": np.zeros(1)}, ArgumentError, "__metadata__"),
        ({"\ud800": np.zeros(1)}, ArgumentError, "cannot name"),
        ({"x": 1.0}, ArgumentError, "'x' is a float"),
        ({"x": {"y": np.zeros(1)}}, ArgumentError, "flatten"),
        ({"x": np.zeros(1, dtype=np.complex64)}, DTypeError, "'x' has dtype complex64"),
        ({"x": np.array(["a"])}, DTypeError, "'x'"),
        ({"x": np.array([None])}, DTypeError, "'x'"),
    ],
)
def test_a_bad_state_is_refused_and_the_old_file_kept(state, error, words, tmp_path):
    path = tmp_path / "x.safetensors"
    tg.save({"x": tg.ones(2)}, path)
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        tg.save(state, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.safetensors"]


@pytest.mark.parametrize("metadata", [["x"], {"x": 1}, {1: "x"}, {"x": "\ud800"}])
def test_bad_metadata_is_refused(metadata, tmp_path):
    with pytest.raises(ArgumentError, match="metadata"):
        tg.save({}, tmp_path / "x.safetensors", metadata=metadata)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file_and_no_other(step, failure, tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    tg.save({"x": tg.ones(2)}, path)

    def fail(*args):
        raise failure

    monkeypatch.setattr(files.os, step, fail)
    expected = DataError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        tg.save({"x": tg.zeros(2)}, path)
    monkeypatch.undo()
    assert tg.load(path)["x"].tolist() == [1.0, 1.0]
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_an_interrupted_block_keeps_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"old")

    def write_half():
        with files.atomic_file(path) as file:
            file.write(b"half")
            file.flush()
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["log"]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    tg.save({"x": tg.ones(2)}, path)
    code = (
        "import os, signal, sys; from tinygrad_adam.files import atomic_file\n"
        "with atomic_file(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert tg.load(path)["x"].tolist() == [1.0, 1.0]
    (left,) = set(tmp_path.iterdir()) - {path}
    other = tmp_path / ".y.safetensors.01234567.tmp"  # of another file
    other.touch()
    tg.save({"x": tg.zeros(2)}, path)
    assert left.exists()  # it is young: its writer may still be at it
    for file in (left, other):
        os.utime(file, (0, 0))
    tg.save({"x": tg.zeros(2)}, path)
    assert set(tmp_path.iterdir()) == {path, other}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_pipes_and_devices_are_refused(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, os.devnull):
        for use in (tg.load, serialization.load_metadata, lambda path: tg.save({}, path)):
            with pytest.raises(DataError, match=f"'{path}' cannot be .*: not a regular file"):
                use(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_boolean_is_zero_or_one(tmp_path):
    path = tmp_path / "x.safetensors"
    tg.save({"x": tg.tensor([True, False])}, path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x02")
    with pytest.raises(DataError, match=r"corrupt.*'x' holds booleans that are neither 0 nor 1"):
        tg.load(path)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04\x00\x00\x08\x08", r"but a zip archive, as torch.save \(.pt, .pth\)"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9", r"but a pickle, as an old torch.save"),
        (b"\x80\x02\x00\x00\x00\x00\x00\x00", "is truncated, corrupt or not"),  # a header's length
    ],
)
def test_files_of_others_are_named(start, what, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(start + bytes(90))
    for read in (tg.load, serialization.load_metadata):
        with pytest.raises(DataError, match=what):
            read(path)


def test_a_directory_that_is_not_there_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="make it first") as caught:
        tg.save({}, tmp_path / "none" / "x.safetensors")
    folder = f"{tmp_path}/none"
    assert str(caught.value) == (
        f"save: '{folder}/x.safetensors' cannot be written: there is no folder '{folder}'; "
        "make it first"
    )
    with pytest.raises(DataError, match="cannot be written"):
        tg.save({}, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX file modes")
def test_modes_follow_the_umask_and_then_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    old = os.umask(0o027)
    try:
        tg.save({}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        tg.save({}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_symbolic_link_is_followed(tmp_path):
    real, link = tmp_path / "real.safetensors", tmp_path / "latest.safetensors"
    tg.save({"x": tg.zeros(1)}, real)
    link.symlink_to(real)
    tg.save({"x": tg.ones(1)}, link)
    assert link.is_symlink()
    assert tg.load(real)["x"].tolist() == [1.0]


def test_long_names_and_plain_strings_work(tmp_path):
    path = str(tmp_path / ("n" * 240 + ".st"))
    tg.save({"x": tg.ones(1)}, path)
    assert tg.load(path)["x"].tolist() == [1.0]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingPackageError, match="pip install safetensors"):
        tg.load(tmp_path / "x")


def test_importing_the_package_does_not_load_safetensors():
    code = "import sys, tinygrad_adam; print('safetensors' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- PyTorch ------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_torch_reads_our_file_and_we_read_theirs(tmp_path):
    torch = pytest.importorskip("torch")
    safetensors_torch = pytest.importorskip("safetensors.torch")
    tg.manual_seed(1)
    ours = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2)
    )
    path = tmp_path / "ours.safetensors"
    tg.save(ours.state_dict(), path)
    loaded = safetensors_torch.load_file(path)
    assert str(theirs.load_state_dict(loaded)) == "<All keys matched successfully>"
    for name, param in ours.named_parameters():
        assert_bit_equal(theirs.get_parameter(name).detach().numpy(), param.data)

    with torch.no_grad():
        theirs[2].weight.mul_(2.0)
    back = tmp_path / "theirs.safetensors"
    safetensors_torch.save_file(theirs.state_dict(), back)
    ours.load_state_dict(tg.load(back))
    assert_bit_equal(ours[2].weight.data, theirs[2].weight.detach().numpy())
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 1, 4, 4)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours(tg.from_numpy(x)).data, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.oracle
def test_torch_tensors_that_are_no_arrays_are_named(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.safetensors"
    for value in (torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.bfloat16)):
        with pytest.raises(DTypeError, match=r"save: 'weight': a torch.Tensor.*\.detach\(\)"):
            tg.save({"weight": value}, path)
    assert list(tmp_path.iterdir()) == []
    model = tg.nn.Linear(2, 1)
    with pytest.raises(StateDictError, match=r"'weight' is no array.*requires grad"):
        model.load_state_dict(torch.nn.Linear(2, 1).state_dict(keep_vars=True))


@pytest.mark.oracle
@pytest.mark.parametrize("new", [True, False])
def test_a_checkpoint_of_torch_is_named(new, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pt"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=new)
    with pytest.raises(DataError, match=r"torch.save \(.pt, .pth\).*safetensors.torch.save_file"):
        tg.load(path)
