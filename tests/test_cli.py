"""The command line, run in this process with tiny settings, and from outside a few times."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.cli import jobs, main
from tinygrad_adam.cli.jobs import JOBS
from tinygrad_adam.cli.models import ConvNet, linear_model, sigmoid_net

PNG = b"\x89PNG\r\n\x1a\n"
FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_digits(folder, training=300, test=100):
    folder.mkdir()
    (x, y), (x_test, y_test) = tg.data.mnist()
    arrays = (x[:training], y[:training], x_test[:test], y_test[:test])
    for name, array in zip(FILES, arrays, strict=True):
        write_idx(folder / f"{name}-ubyte", array)
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test has a working directory of its own, empty at the start."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def run(*arguments):
    """Return the exit status, whether `main` returns it or argparse raises it."""
    try:
        return main(list(map(str, arguments)))
    except SystemExit as end:
        return end.code


# --- what goes well -----------------------------------------------------------------------------


def test_train_mnist(digits, here, capsys):
    assert run("train", "mnist", "--data", digits, "--epochs", 2, "--out", "results") == 0
    assert files(here) == [
        "results",
        "results/accuracy.png",
        "results/confusion_matrix.png",
        "results/filters.png",
        "results/loss.png",
        "results/metrics.json",
        "results/misclassified.png",
        "results/settings.json",
        "results/weights.safetensors",
    ]
    results = here / "results"
    for path in results.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size > 5000

    settings = json.loads((results / "settings.json").read_text())
    assert (
        settings.items()
        >= {
            "job": "mnist",
            "lr": 0.001,
            "epochs": 2,
            "batch_size": 64,
            "data": str(digits),
            "tinygrad_adam": tg.__version__,
        }.items()
    )
    metrics = json.loads((results / "metrics.json").read_text())
    assert len(metrics["history"]["loss"]) == 2
    assert metrics["history"]["test_epoch"] == [1, 2]

    # The weights are those whose accuracy was reported.
    model = ConvNet()
    model.load_state_dict(tg.load(results / "weights.safetensors"))
    _, (x, y) = tg.data.mnist(digits)
    with tg.no_grad():
        guesses = model(tg.as_tensor(tg.data.normalize_images(x))).data.argmax(1)
    assert (guesses == y).mean() == pytest.approx(metrics["test_accuracy"])

    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith("mnist: 300 training and 100 test samples, 693,962 parameters; adam")
    assert lines[1].split() == [
        "epoch", "loss", "accuracy", "test", "loss", "test", "accuracy", "elapsed"
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:4]] == ["1", "2"]
    assert lines[-9:-6] == ["saved in results:", "  accuracy.png", "  confusion_matrix.png"]
    assert "\x1b" not in out


def test_train_breast_cancer(here):
    assert run("train", "breast-cancer", "--seed", 2, "--out", here / "a" / "b") == 0
    results = here / "a" / "b"
    metrics = json.loads((results / "metrics.json").read_text())
    assert metrics["test_accuracy"] >= 0.96
    assert metrics["roc_auc"] >= 0.99
    assert files(results) == [
        "accuracy.png",
        "confusion_matrix.png",
        "loss.png",
        "metrics.json",
        "roc_and_pr.png",
        "settings.json",
        "weights.safetensors",
    ]
    sigmoid_net(30, 16, 8, 1).load_state_dict(tg.load(results / "weights.safetensors"))


def test_train_linear_regression_into_the_default_folder(here):
    assert run("train", "linear-regression") == 0
    (results,) = (here / "runs").iterdir()
    assert results.name.startswith("linear-regression-")
    metrics = json.loads((results / "metrics.json").read_text())
    assert metrics["mse"] == pytest.approx(0.010183269710035, rel=1e-8)
    assert (results / "predictions.png").read_bytes().startswith(PNG)
    linear_model(20).load_state_dict(tg.load(results / "weights.safetensors"))


def test_every_setting_reaches_the_run(digits, here):
    arguments = ["--device", "cpu", "--optimizer", "rmsprop", "--lr", "1e-4", "--decay-rate", ".5"]
    arguments += ["--epochs", 1, "--batch-size", 50, "--seed", 9, "--data", digits, "--out", "r"]
    assert run("train", "mnist", *arguments) == 0
    settings = json.loads((here / "r" / "settings.json").read_text())
    expected = {
        "device": "cpu",
        "optimizer": "rmsprop",
        "lr": 1e-4,
        "decay_rate": 0.5,
        "epochs": 1,
        "batch_size": 50,
        "seed": 9,
        "data": str(digits),
    }
    assert settings.items() >= expected.items()


def test_compare(here, capsys):
    assert run("compare", "--steps", 460, "--lr", "sgd=0.01", "--out", "race") == 0
    assert files(here) == [
        "race",
        "race/comparison.png",
        "race/metrics.json",
        "race/paths.png",
        "race/settings.json",
    ]
    metrics = json.loads((here / "race" / "metrics.json").read_text())["optimizers"]
    results = {row["name"]: row for row in metrics}
    assert list(results) == [
        "Adam, lr 0.02",
        "SGD, lr 0.01",
        "SGD with momentum, lr 0.002",
        "RMSprop, lr 0.005",
    ]
    assert results["Adam, lr 0.02"]["steps"] == 442
    assert all(row["history"][0] == 4.0 and len(row["history"]) == 461 for row in metrics)
    # np.argmin would call the run that diverges the fastest of all.
    sgd = results["SGD, lr 0.01"]
    assert sgd["steps"] is None
    assert 2 < sgd["diverged"] < 12
    out, err = capsys.readouterr()
    assert err == ""
    (line,) = (line for line in out.splitlines() if line.startswith("SGD, "))
    assert line.split()[-4:] == ["never", "diverged", "at", str(sgd["diverged"])]
    assert "converged" not in out


def test_version_and_help(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"tinygrad-adam {tg.__version__}\n"
    for command in ([], ["train"], ["compare"]):
        assert run(*command, "--help") == 0
        assert "usage: tinygrad-adam" in capsys.readouterr().out
    helps = {}
    for job in ("mnist", "breast-cancer", "linear-regression"):
        assert run("train", job, "--help") == 0
        helps[job] = capsys.readouterr().out
        assert f"usage: tinygrad-adam train {job}" in helps[job]
        assert [other for other in JOBS if other in helps[job]] == [job]
    assert [job for job in helps if "--data FOLDER" in helps[job]] == ["mnist"]
    assert "0.1 for sgd" in helps["mnist"]
    assert "default: 64" in helps["mnist"]
    assert "default: all" in helps["breast-cancer"]


# --- what goes wrong: one line, status 2, nothing left behind -----------------------------------

WRONG = [
    ([], "COMMAND"),
    (["fly"], "invalid choice: 'fly'"),
    (["train"], "required: JOB"),
    (["train", "imagenet"], "invalid choice: 'imagenet'"),
    (["train", "mnist", "--epoch", "1"], "unrecognized arguments: --epoch"),
    (["train", "mnist", "--lr", "fast"], "--lr: invalid float value: 'fast'"),
    (["train", "mnist", "--lr", "0"], "lr must be a finite number > 0, got 0"),
    (["train", "mnist", "--lr", "-1"], "lr must be a finite number > 0, got -1"),
    (["train", "mnist", "--lr", "nan"], "lr must be a finite number > 0, got nan"),
    (["train", "mnist", "--decay-rate", "2"], "decay rate must be a finite number > 0 and <= 1"),
    (["train", "mnist", "--epochs", "0"], "epochs must be at least 1, got 0"),
    (["train", "mnist", "--epochs", "1.5"], "--epochs: invalid int value: '1.5'"),
    (["train", "mnist", "--batch-size", "-3"], "batch size must be at least 1, got -3"),
    (["train", "mnist", "--seed", "-1"], "seed must be between"),
    (["train", "mnist", "--optimizer", "adan"], "invalid choice: 'adan'"),
    (["train", "mnist", "--device", "tpu"], "device 'tpu' is unknown"),
    (["train", "mnist", "--data", "nowhere"], "no such folder: nowhere"),
    (["train", "mnist", "--data", __file__], f"not a folder: {__file__}"),
    (["train", "mnist", "--data", ""], "a path is empty"),
    (["train", "breast-cancer", "--data", "."], "unrecognized arguments: --data ."),
    (["train", "breast-cancer", "--out", ""], "--out is empty; name a new folder"),
    (["compare", "--out", "x" * 300], "File name too long; name another folder with --out"),
    (["compare", "--steps", "0"], "--steps must be at least 1"),
    (["compare", "--tolerance", "0"], "--tolerance must be a finite number > 0"),
    (["compare", "--lr", "0.1"], "--lr takes NAME=RATE"),
    (["compare", "--lr", "adan=0.1"], "--lr takes NAME=RATE"),
    (["compare", "--lr", "adam=fast"], "--lr adam must be a finite number > 0, got 'fast'"),
    (["compare", "--lr", "adam=-1"], "--lr adam must be a finite number > 0, got -1"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_arguments(arguments, words, here, capsys):
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("tinygrad-adam")
    assert err.count("\n") == 1
    assert files(here) == []


@pytest.mark.skipif(tg.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(here, capsys):
    assert run("train", "mnist", "--device", "cuda") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "cuda" in err
    assert files(here) == []


def break_gone(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()


def break_truncated(folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-7])


def break_garbage(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\x1f\x8bnot gzip at all")


def break_small(folder):
    for name in ("train", "t10k"):
        write_idx(folder / f"{name}-images-idx3-ubyte", np.zeros((5, 9, 9)))
        write_idx(folder / f"{name}-labels-idx1-ubyte", np.zeros(5))


def break_empty(folder):
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((0, 28, 28)))
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(0))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_gone, "no such file"),
        (break_truncated, "truncated"),
        (break_garbage, "gzip"),
        (break_small, "(9, 9), but the network takes (28, 28)"),
        (break_empty, "no test images"),
    ],
)
def test_damaged_data(damage, words, here, tmp_path, capsys):
    folder = write_digits(tmp_path / "damaged", 20, 20)
    damage(folder)
    assert run("train", "mnist", "--data", folder) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert files(here) == []


@pytest.mark.parametrize("command", [["train", "breast-cancer"], ["compare", "--steps", "1"]])
def test_results_never_overwrite_anything(command, here, capsys):
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("years of work")
    for out, words in (
        ("mine", "is not empty"),
        ("mine/thesis.txt", "is a file"),
        ("mine/thesis.txt/new", "cannot write to"),
    ):
        assert run(*command, "--out", out) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert words in err
    assert files(here) == ["mine", "mine/thesis.txt"]
    assert (here / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_out_through_links_and_dots(here, capsys):
    (here / "dangling").symlink_to("nowhere")
    assert run("compare", "--steps", "1", "--out", "dangling") == 2
    assert "dangling is a link to nothing" in capsys.readouterr().err
    assert run("compare", "--steps", "1", "--out", "new/../results") == 0
    assert sorted(os.listdir(here)) == ["dangling", "results"]


def test_a_folder_that_may_not_be_read(here, monkeypatch, capsys):
    (here / "closed").mkdir()

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert run("compare", "--out", "closed") == 2
    assert "cannot write to closed: Permission denied" in capsys.readouterr().err


def test_a_folder_without_permission(here, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    assert run("train", "breast-cancer") == 2
    assert "Permission denied" in capsys.readouterr().err
    monkeypatch.undo()
    assert files(here) == []


# --- what goes wrong in the middle --------------------------------------------------------------


def accident(monkeypatch, error, step=3, call=None):
    """Have the optimiser's third step fail, or `call` something."""
    original, count = tg.optim.Adam.step, [0]

    def failing(self, *args):
        count[0] += 1
        if count[0] == step and call is not None:
            call()
        elif count[0] == step:
            raise error
        return original(self, *args)

    monkeypatch.setattr(tg.optim.Adam, "step", failing)


@pytest.mark.parametrize("command", ["train breast-cancer", "compare"])
def test_ctrl_c(command, here, monkeypatch, capsys):
    accident(monkeypatch, KeyboardInterrupt(), step=1)  # before the first epoch is finished
    assert run(*command.split()) == 130
    assert capsys.readouterr().err == "tinygrad-adam: error: interrupted\n"
    assert files(here) == []


@pytest.mark.parametrize("when", ["in a step", "while the test data are predicted", "kept"])
def test_ctrl_c_keeps_what_finished_epochs_gave(when, here, monkeypatch, capsys):
    arguments = ["train", "breast-cancer", "--epochs", "6", "--out", "r"]
    model = sigmoid_net(30, 16, 8, 1)

    def stop(*args, **settings):
        raise KeyboardInterrupt

    if when == "in a step":  # the fourth epoch's only one
        accident(monkeypatch, KeyboardInterrupt(), step=4)
    else:
        name = "predict" if when.startswith("while") else "Tensor.clone"
        whole = jobs.predict if name == "predict" else tg.Tensor.clone
        count = [0]

        def fourth(*args, **settings):
            count[0] += 1
            each = 1 if name == "predict" else len(model.state_dict())
            return (stop if count[0] == 3 * each + 1 else whole)(*args, **settings)

        monkeypatch.setattr(f"tinygrad_adam.cli.jobs.{name}", fourth)
    assert run(*arguments) == 130
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert capsys.readouterr().err == (
        "tinygrad-adam: error: interrupted; what 3 of 6 epochs gave is saved in r\n"
    )
    assert files(here) == ["r", "r/metrics.json", "r/settings.json", "r/weights.safetensors"]
    metrics = json.loads((here / "r" / "metrics.json").read_text())
    # The same as a run of three epochs leaves.
    assert run(*arguments[:3], "3", "--out", "whole") == 0
    expected = json.loads((here / "whole" / "metrics.json").read_text())
    assert metrics["history"] == expected["history"]
    states = [tg.load(here / name / "weights.safetensors") for name in ("r", "whole")]
    for key in model.state_dict():
        np.testing.assert_array_equal(*(state[key].numpy() for state in states))


@pytest.mark.parametrize("place", ["jobs.plot.roc_and_pr", "folder.plot.save"])
def test_ctrl_c_at_the_figures_keeps_the_rest(place, here, monkeypatch, capsys):
    def stop(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"tinygrad_adam.cli.{place}", stop)
    assert run("train", "breast-cancer", "--epochs", 2, "--out", "r") == 130
    assert "interrupted; what 2 of 2 epochs gave is saved in r" in capsys.readouterr().err
    assert files(here) == ["r", "r/metrics.json", "r/settings.json", "r/weights.safetensors"]
    assert len(json.loads((here / "r" / "metrics.json").read_text())["history"]["loss"]) == 2


def test_a_second_ctrl_c_ends_at_once(here, monkeypatch, capsys):
    accident(monkeypatch, KeyboardInterrupt(), step=3)

    def stop(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinygrad_adam.cli.folder.save", stop)
    assert run("train", "breast-cancer") == 130
    assert capsys.readouterr().err == "tinygrad-adam: error: interrupted\n"
    assert files(here) == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "MemoryError"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_the_machine_fails(error, line, here, monkeypatch, capsys):
    accident(monkeypatch, error)
    assert run("train", "breast-cancer", "--out", "a/b") == 1
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
    assert files(here) == []


def test_a_bug_is_not_hidden_and_leaves_nothing(here, monkeypatch):
    accident(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        run("train", "breast-cancer", "--out", "a/b")
    assert files(here) == []


def test_results_that_cannot_be_written(here, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise tg.errors.DataError("the disk is full")

    monkeypatch.setattr("tinygrad_adam.cli.folder.save", full)
    assert run("train", "breast-cancer", "--epochs", 1) == 2
    assert capsys.readouterr().err == "tinygrad-adam: error: the disk is full\n"
    assert files(here) == []


def test_training_that_diverges(here, capsys):
    arguments = ["--optimizer", "sgd", "--lr", "1e200", "--epochs", "5"]
    assert run("train", "linear-regression", *arguments) == 1
    err = capsys.readouterr().err
    assert "training diverged" in err
    assert "--lr" in err
    assert err.count("\n") == 1
    assert files(here) == []


@pytest.mark.parametrize("job", ["linear-regression", "breast-cancer"])
def test_a_loss_that_ends_huge_is_no_success(job, here, capsys):
    assert run("train", job, "--lr", "1e9", "--epochs", "3") == 1
    err = capsys.readouterr().err
    assert "training diverged, the loss rose from " in err
    assert "try a learning rate below 1e+09 (--lr)" in err
    assert err.count("\n") == 1
    assert files(here) == []


def test_a_batch_that_is_cut_to_the_data_is_said(capsys):
    for size, words in (
        ("5000", "batch size 455 (all there are, not 5000),"),
        ("455", "size 455,"),
    ):
        assert run("train", "breast-cancer", "--epochs", 1, "--batch-size", size) == 0
        assert words in capsys.readouterr().out


# --- from outside -------------------------------------------------------------------------------

# Warnings are errors there too.
PYTHON = [sys.executable, "-W", "error"]


def outside(**variables):
    """The environment, where this very package is found from any folder."""
    return os.environ | {"PYTHONPATH": str(Path(tg.__file__).parents[1])} | variables


def test_help_is_quick_to_load_and_needs_nothing_heavy():
    heavy = ("matplotlib", "sklearn", "rich", "safetensors", "cupy", "scipy")
    code = f"""
import sys
from tinygrad_adam.cli import jobs, main
try:
    main(["train", "--help"])
except SystemExit as end:
    assert end.code == 0
loaded = [name for name in {heavy} if name in sys.modules]
assert not loaded, loaded
"""
    found = subprocess.run([*PYTHON, "-c", code], env=outside(), capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("usage: tinygrad-adam train")


def test_output_that_is_no_terminal_is_plain(here):
    # Even if the environment asks for colours.
    env = outside(FORCE_COLOR="1", TERM="xterm-256color", COLUMNS="200")
    command = [*PYTHON, "-m", "tinygrad_adam.cli", "train", "breast-cancer", "--epochs", "3"]
    found = subprocess.run([*command, "--out", "r"], env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert "\x1b" not in found.stdout
    assert "\r" not in found.stdout
    assert "test accuracy" in found.stdout
    assert (here / "r" / "metrics.json").exists()


def test_a_reader_that_goes_away(here):
    command = [*PYTHON, "-m", "tinygrad_adam.cli", "train", "breast-cancer"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=outside(), stdout=pipe, stderr=pipe, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1
    assert files(here) == []


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors in a shell's way")
@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
def test_without_standard_streams(closed, here):
    """As a daemon or ``>&-`` starts it."""
    command = [*PYTHON, "-m", "tinygrad_adam.cli", "compare", "--steps", "2", "--out"]
    pipe = subprocess.PIPE

    def close():
        for descriptor in closed:
            os.close(descriptor)

    for out, status in (("r", 0), ("", 2)):
        found = subprocess.run(
            [*command, out], env=outside(), stdout=pipe, stderr=pipe, text=True, preexec_fn=close
        )
        assert found.returncode == status
        assert "Traceback" not in found.stderr
        assert ("error" in found.stdout + found.stderr) == (status == 2 and 2 not in closed)
    assert (here / "r" / "metrics.json").exists()


def test_an_encoding_without_the_letters_of_the_path(here):
    command = [*PYTHON, "-m", "tinygrad_adam.cli", "compare", "--steps", "2", "--out", "täst"]
    env = outside(PYTHONIOENCODING="ascii:strict")
    found = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert r"saved in t\xe4st:" in found.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_end_leaves_nothing(number, here, monkeypatch):
    before = signal.getsignal(number)
    accident(monkeypatch, error=None, call=lambda: os.kill(os.getpid(), number))
    assert run("train", "breast-cancer") == 128 + number
    assert files(here) == []
    assert signal.getsignal(number) is before


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_of_another_encoding_gets_plain_lines(here):
    status, text = in_terminal("compare", "--steps", "2", PYTHONIOENCODING="latin-1")
    assert status == 0, text
    assert "best value" in text
    assert "\x1b" not in text


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar(here):
    status, text = in_terminal("train", "breast-cancer", "--epochs", "30")
    assert status == 0, text
    assert "\x1b[?25l" in text  # the cursor is hidden for the bar
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # and comes back
    assert "epoch" in text
    assert "test accuracy" in text
    assert "━" in text


def in_terminal(*arguments, **variables):
    """Return the status and the output of a command in a terminal."""
    ours, theirs = os.openpty()
    command = [*PYTHON, "-m", "tinygrad_adam.cli", *arguments]
    env = outside(TERM="xterm-256color", COLUMNS="100", LINES="40", **variables)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        env.pop(name, None)
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    return process.wait(), b"".join(parts).decode()
