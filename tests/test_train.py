"""The training loop, the three jobs, the race of the optimisers, and the folders of runs."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd import vocabulary
from tinygrad_adam.cli.folder import RunFolder
from tinygrad_adam.cli.jobs import JOBS, Settings
from tinygrad_adam.cli.models import ConvNet, sigmoid_net
from tinygrad_adam.cli.optimizers import OPTIMIZERS, make_optimizer
from tinygrad_adam.cli.race import convergence_table, race, rosenbrock
from tinygrad_adam.data import DataLoader, Mapped, Shifted
from tinygrad_adam.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    Diverged,
    ShapeError,
    TinygradError,
)
from tinygrad_adam.nn.functional import mse_loss
from tinygrad_adam.train import (
    Mean,
    Report,
    TerminalReport,
    accuracy,
    binary_accuracy,
    evaluate,
    fit,
    make_report,
    predict,
    progress,
    steps_to_target,
)

NAN, INF = math.nan, math.inf


@pytest.fixture
def cp(monkeypatch):
    """A machine with a GPU: the stand-in for CuPy that records every transfer and wait."""
    path = Path(__file__).with_name("standin_cupy.py")
    spec = importlib.util.spec_from_file_location("cupy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.delitem(vocabulary.ON_MODULES, "cupy", raising=False)
    yield module
    vocabulary.ON_MODULES.pop("cupy", None)


class Silent(Report):
    """Keeps the rows instead of printing them."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def line(self, text):
        pass

    def row(self, cells):
        self.rows.append(dict(cells))


def line_data(n=10):
    x = np.linspace(-1, 1, n).reshape(n, 1)
    return x, 3 * x + 1


def small_problem(**how):
    tg.manual_seed(3)
    model = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    loader = DataLoader(line_data(), **({"batch_size": 4, "shuffle": True} | how))
    return model, tg.optim.Adam(model.parameters(), lr=0.05), loader


# --- the loop -----------------------------------------------------------------------------------


def test_fit_is_the_loop_one_would_write():
    model, optimizer, loader = small_problem()
    history = fit(model, mse_loss, optimizer, loader, 3)
    mine, optimizer, loader = small_problem()
    means = []
    for _ in range(3):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = mse_loss(mine(x), y)
            loss.backward()
            optimizer.step()
            # The last batch has 2 samples, the others 4.
            total += loss.item() * len(x)
        means.append(total / 10)
    for a, b in zip(model.parameters(), mine.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert [epoch.number for epoch in history] == [1, 2, 3]
    assert [epoch.loss.read() for epoch in history] == pytest.approx(means, rel=1e-14)


def test_fit_calls_back():
    model, optimizer, loader = small_problem()
    steps, epochs = [], []
    fit(
        model,
        mse_loss,
        optimizer,
        loader,
        2,
        metric=lambda outputs, targets: (outputs - targets).abs().mean(),
        on_step=lambda samples, loss: steps.append((samples, loss.item(), loss.requires_grad)),
        on_epoch=lambda epoch: epochs.append(
            (epoch.number, epoch.loss.read(), epoch.metric.read())
        ),
    )
    assert [samples for samples, *_ in steps] == [4, 4, 2] * 2
    assert not any(recorded for *_, recorded in steps)
    assert [number for number, *_ in epochs] == [1, 2]
    first = sum(samples * loss for samples, loss, _ in steps[:3]) / 10
    assert epochs[0][1] == pytest.approx(first, rel=1e-14)
    assert 0 < epochs[1][2] < epochs[0][2]


def test_the_metric_is_not_recorded_and_sees_the_outputs_before_the_update():
    model, optimizer, loader = small_problem(batch_size=10, shuffle=False)
    before = predict(model, loader)
    seen = []
    fit(model, mse_loss, optimizer, loader, 1, metric=lambda o, t: seen.append(o) or o.mean())
    np.testing.assert_array_equal(seen[0].data, before.data)
    assert not seen[0].requires_grad


def test_training_waits_for_the_device_only_when_somebody_looks(cp):
    model, _, _ = small_problem()
    model.to("cuda")
    optimizer = tg.optim.Adam(model.parameters())
    loader = DataLoader(line_data(), 4, device="cuda")
    cp.traffic.clear()
    history = fit(
        model,
        mse_loss,
        optimizer,
        loader,
        2,
        metric=lambda outputs, targets: (outputs - targets).abs().mean(),
        on_step=lambda samples, loss: None,
    )
    assert cp.traffic.total == 0, cp.traffic
    assert history[1].loss.read() > 0
    assert len(cp.traffic.downloads) + len(cp.traffic.waits) > 0
    cp.traffic.clear()
    predict(model, loader)
    assert cp.traffic.total == 0, cp.traffic


def test_fit_refuses():
    model, optimizer, loader = small_problem()
    before = [p.data.copy() for p in model.parameters()]
    with pytest.raises(ArgumentError, match="at least 1"):
        fit(model, mse_loss, optimizer, loader, 0)
    with pytest.raises(DataError, match="no batch in epoch 1"):
        fit(model, mse_loss, optimizer, [], 1)
    for p, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, old)
    with pytest.raises(DataError, match="no batch in epoch 2"):
        fit(model, mse_loss, optimizer, iter(list(loader)), 2)


def test_a_mean_keeps_digits_that_float32_loses():
    mean = Mean()
    for _ in range(1000):
        mean.add(tg.tensor(0.1, dtype=tg.float32), 100_000)
    assert mean.read() == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    with pytest.raises(DataError, match="no sample"):
        Mean().read()


def test_fit_puts_the_model_in_training_mode_every_epoch():
    model, optimizer, loader = small_problem()
    modes = []
    fit(
        model,
        lambda o, t: modes.append(model.training) or mse_loss(o, t),
        optimizer,
        loader,
        2,
        on_epoch=lambda epoch: model.eval(),
    )
    assert modes == [True] * 6


# --- evaluating ---------------------------------------------------------------------------------


def test_predict_and_evaluate_leave_the_model_alone():
    model = nn.Sequential(nn.Linear(1, 1).double(), nn.Dropout(0.9), nn.Dropout(0.9))
    model.train()
    model[2].eval()
    loader = DataLoader(line_data(7), 3)
    outputs = predict(model, loader)
    assert not outputs.requires_grad
    with tg.no_grad():
        np.testing.assert_array_equal(outputs.data, model[0](tg.tensor(line_data(7)[0])).data)
    found = evaluate(model, loader, {"mse": mse_loss, "worst": lambda o, t: (o - t).abs().max()})
    assert found["mse"] == pytest.approx(np.mean((outputs.data - line_data(7)[1]) ** 2))
    assert list(found) == ["mse", "worst"]
    assert [module.training for module in model.modules()] == [True, True, True, False]

    def broken(outputs, targets):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        evaluate(model, loader, {"broken": broken})
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert tg.is_grad_enabled()


def test_predict_and_evaluate_refuse_an_empty_loader():
    with pytest.raises(DataError, match="no batch"):
        predict(nn.Identity(), [])
    with pytest.raises(DataError, match="no sample"):
        evaluate(nn.Identity(), [], {"mse": mse_loss})


def test_accuracies():
    logits = tg.tensor([[0.0, 1.0, 2.0], [5.0, 1.0, 2.0], [0.0, 9.0, 2.0], [1.0, 0.0, 0.0]])
    assert accuracy(logits, tg.tensor([2, 0, 0, 0])).item() == 0.75
    assert binary_accuracy(tg.tensor([[-1.0], [2.0]]), tg.tensor([[0.0], [1.0]])).item() == 1.0
    assert binary_accuracy(tg.tensor([0.0, 2.0, -3.0]), tg.tensor([1, 0, 0])).item() == 1 / 3
    with pytest.raises(ShapeError, match="accuracy"):
        accuracy(logits, tg.tensor([[2], [0], [0], [0]]))
    with pytest.raises(ShapeError, match="binary_accuracy"):
        binary_accuracy(tg.zeros(3, 1), tg.zeros(3))


# --- moved images -------------------------------------------------------------------------------


def test_steps_to_target():
    assert steps_to_target([3.0, 1.0, 0.1], 1.0) == 2
    assert steps_to_target([3.0, NAN, 0.1, 0.0], 0.5) == 3
    assert steps_to_target([3.0, NAN, NAN], 0.5) is None
    assert steps_to_target([], 0.5) is None
    assert steps_to_target(np.array([0.0]), 0.0) == 1
    with pytest.raises(ArgumentError):
        steps_to_target([1.0], NAN)


def moves(image, most):
    """Every version of an image that `Shifted` may give."""
    wide = np.pad(image, ((0, 0), (most, most), (most, most)))
    _, h, w = image.shape
    at = range(2 * most + 1)
    return {(r, c): wide[:, r : r + h, c : c + w] for r in at for c in at}


def test_shifted_moves_every_image_on_its_own():
    images = np.random.default_rng(0).random((200, 2, 4, 5))
    loader = DataLoader((images, np.arange(200)), 64, shuffle=True, generator=tg.Generator(1))
    batches = Shifted(loader, 1)
    epochs = []
    for _ in range(2):
        found = {}
        for moved, numbers in batches:
            assert moved.shape[1:] == (2, 4, 5)
            for image, number in zip(moved.data, numbers.tolist(), strict=True):
                same = [k for k, v in moves(images[number], 1).items() if (v == image).all()]
                (found[number],) = same
        assert sorted(found) == list(range(200))
        assert len(set(found.values())) == 9
        epochs.append(found)
    assert epochs[0] != epochs[1]
    assert len(batches) == len(loader) == 4


def test_shifted_is_repeatable_and_the_same_on_a_gpu(cp):
    images = np.random.default_rng(0).random((20, 1, 4, 4)).astype(np.float32)

    def epoch(device):
        loader = DataLoader(
            (images, np.arange(20)), 8, shuffle=True, generator=tg.Generator(1), device=device
        )
        cp.traffic.clear()
        found = list(Shifted(loader, 2))
        uploads = list(cp.traffic.uploads)
        assert {str(t.device) for pair in found for t in pair} == {str(tg.device.parse(device))}
        return [[t.tolist() for t in pair] for pair in found], uploads

    on_cpu, _ = epoch("cpu")
    on_gpu, uploads = epoch("cuda")
    assert on_cpu == on_gpu
    assert uploads == ["int64 (20,)", "int64 (2, 20)"]


def test_shifted_by_nothing_and_by_nonsense():
    images = np.ones((3, 1, 2, 2))
    ((moved, _),) = Shifted(DataLoader((images, np.arange(3)), 3), 0)
    np.testing.assert_array_equal(moved.data, images)
    with pytest.raises(ArgumentError, match="negative"):
        Shifted(DataLoader((images, np.arange(3)), 3), -1)
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\), got shape \(3, 2\)"):
        list(Shifted(DataLoader((images[:, 0, 0], np.arange(3)), 3), 1))


def test_shifted_keeps_the_element_type_and_takes_images_without_channels():
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 4)).astype(np.uint8)

    def epoch(images):
        loader = DataLoader((images, np.arange(20)), 8, generator=tg.Generator(1))
        return [moved.data for moved, _ in Shifted(loader, 2)]

    for flat, one in zip(epoch(images), epoch(images[:, None]), strict=True):
        assert flat.dtype == one.dtype == np.uint8
        np.testing.assert_array_equal(flat, one[:, 0])


def test_mapped_changes_the_inputs_anew_every_epoch():
    loader = DataLoader((np.arange(5), np.arange(5)), 2)
    doubled = Mapped(loader, lambda x: x * 2)
    for _ in range(2):
        assert [(x.tolist(), y.tolist()) for x, y in doubled] == [
            ([0, 2], [0, 1]), ([4, 6], [2, 3]), ([8], [4]),
        ]  # fmt: skip


# --- models and optimisers ----------------------------------------------------------------------


def test_convnet_is_slide_12():
    shapes = [tuple(p.shape) for p in ConvNet().parameters()]
    assert shapes == [(32, 1, 3, 3), (32,), (128, 5408), (128,), (10, 128), (10,)]
    with pytest.raises(TinygradError):  # and does not take an image for several smaller ones
        ConvNet()(tg.zeros(1, 1, 54, 54))


def test_sigmoid_net_is_slide_5_with_xavier():
    tg.manual_seed(0)
    net = sigmoid_net(30, 16, 8, 1)
    shapes = [tuple(p.shape) for p in net.parameters()]
    assert shapes == [(16, 30), (16,), (8, 16), (8,), (1, 8), (1,)]
    bound = math.sqrt(6 / 46)
    assert 0.9 * bound < np.abs(net[0].weight.data).max() <= bound
    assert not net[0].bias.data.any()


def test_optimizers_by_name():
    made = {}
    for name in OPTIMIZERS:
        w = tg.ones(2, requires_grad=True)
        made[name] = make_optimizer(name, [w], 0.5)
        assert made[name].current_lrs() == [0.5]
    assert {name: type(o).__name__ for name, o in made.items()} == {
        "adam": "Adam",
        "adamw": "AdamW",
        "sgd": "SGD",
        "momentum": "SGD",
        "rmsprop": "RMSprop",
    }
    assert made["sgd"].param_groups[0]["momentum"] == 0
    with pytest.raises(ArgumentError, match=r"'adan'.*adam, adamw"):
        make_optimizer("adan", [tg.ones(1, requires_grad=True)], 0.1)


def test_decay_is_slide_10():
    w = tg.ones(1, dtype=tg.float64, requires_grad=True)
    optimizer = make_optimizer("adam", [w], 0.001, 0.95)
    rates = []
    for _ in range(1001):
        w.grad = tg.ones_like(w)
        rates += optimizer.current_lrs()
        optimizer.step()
    assert rates[0] == 0.001
    assert rates[1] == pytest.approx(0.000999948708021091, rel=1e-12)
    assert rates[99] == pytest.approx(0.0009949348352847635, rel=1e-12)
    assert rates[1000] == pytest.approx(0.00095, rel=1e-12)


# --- the race -----------------------------------------------------------------------------------


def adam(lr):
    return lambda params: tg.optim.Adam(params, lr=lr)


def sgd(lr):
    return lambda params: tg.optim.SGD(params, lr=lr)


def test_race_is_slide_11_with_the_start_recorded():
    result = race({"Adam": adam(0.01), "SGD": sgd(1e-4)}, 650)
    assert list(result.histories) == ["Adam", "SGD"]
    for name, history in result.histories.items():
        assert len(history) == 651
        assert history[0] == 4.0
        assert result.paths[name].shape == (651, 2)
        assert result.paths[name][0].tolist() == [-1.0, 1.0]
        assert history[-1] == rosenbrock(*result.paths[name][-1])
    # Values of PyTorch in float64.
    assert result.histories["Adam"][10] == pytest.approx(3.863, abs=5e-4)
    assert result.histories["Adam"][100] == pytest.approx(1.786, abs=5e-4)
    assert result.histories["SGD"][100] == pytest.approx(3.961, abs=5e-4)
    rows = convergence_table(result.histories, tolerance=1e-3)
    assert [row.steps for row in rows] == [613, None]


def test_a_second_race_starts_afresh():
    contestants = {"Adam": adam(0.01)}
    first, second = race(contestants, 20), race(contestants, 20)
    assert first.histories == second.histories


def test_a_run_that_diverges_is_over_and_says_when():
    steps = []
    result = race({"SGD": sgd(0.01), "Adam": adam(0.01)}, 30, on_step=steps.append)
    history = result.histories["SGD"]
    (row, good) = convergence_table(result.histories, tolerance=1e-3)
    assert row.diverged is not None
    assert row.diverged < 12
    assert all(math.isfinite(value) for value in history[: row.diverged])
    assert not any(math.isfinite(value) for value in history[row.diverged :])
    assert len(history) == 31
    # What np.argmin calls converged.
    assert row.steps is None
    assert row.best == min(history[: row.diverged])
    assert good.diverged is None
    assert steps.count("Adam") == 30
    assert steps.count("SGD") < 12


def test_race_takes_any_function_and_start():
    result = race({"SGD": sgd(0.25)}, 1, function=lambda x, y: x**2 + y**2, start=(4.0, -2.0))
    assert result.paths["SGD"].tolist() == [[4.0, -2.0], [2.0, -1.0]]
    assert result.histories["SGD"] == [20.0, 5.0]
    with pytest.raises(ArgumentError, match="at least 1"):
        race({}, 0)


def test_convergence_table():
    histories = {
        "at once": [1e-9, 5.0],
        "later": [4.0, 2.0, 1e-3],
        "then lost": [4.0, 1e-4, NAN, 2.0],
        "infinite": [4.0, -INF],
        "never a number": [NAN],
        "empty": [],
    }
    rows = {row.name: row[1:] for row in convergence_table(histories, tolerance=1e-3)}
    assert rows["at once"] == (1e-9, 0, None)
    assert rows["later"] == (1e-3, 2, None)
    assert rows["then lost"] == (1e-4, 1, 2)
    assert rows["infinite"][0] == 4.0
    assert rows["infinite"][2] == 1
    assert math.isnan(rows["never a number"][0])
    assert rows["never a number"][1:] == (None, 0)
    assert rows["empty"][1:] == (None, None)
    with pytest.raises(ArgumentError, match="NaN"):
        convergence_table({"a": [1.0]}, tolerance=NAN)


# --- the jobs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_linear_regression_reaches_least_squares(seed):
    outcome = JOBS["linear-regression"](Settings(seed=seed)).run(Silent())
    assert outcome.metrics["mse"] == pytest.approx(0.010183269710035, rel=1e-8)
    assert abs(outcome.metrics["relative_excess"]) < 1e-8
    assert outcome.metrics["r2"] > 0.999999
    assert len(outcome.history["loss"]) == 1000
    assert set(outcome.figures) == {"loss", "predictions"}


def test_the_curves_of_a_job_show_its_history():
    outcome = JOBS["breast-cancer"](Settings(epochs=3)).run(Silent())
    for name in ("loss", "accuracy"):
        axes = outcome.figures[name].axes[0]
        during, after = axes.lines
        assert during.get_label() == "training (during the epoch)"
        assert during.get_ydata().tolist() == outcome.history[name]
        assert after.get_label() == "test (after it)"
        assert after.get_ydata().tolist() == outcome.history[f"test_{name}"]
        assert during.get_xdata().tolist() == after.get_xdata().tolist() == [1, 2, 3]
        assert axes.get_ylabel() == name.capitalize()


@pytest.mark.parametrize("seed", range(5))
def test_breast_cancer_learns(seed):
    report = Silent()
    outcome = JOBS["breast-cancer"](Settings(seed=seed)).run(report)
    assert outcome.metrics["test_accuracy"] >= 0.96
    assert outcome.metrics["roc_auc"] >= 0.99
    assert set(outcome.figures) == {"loss", "accuracy", "roc_and_pr", "confusion_matrix"}
    assert [row["epoch"] for row in report.rows] == [str(k) for k in (1, *range(10, 101, 10))]
    assert outcome.history["test_epoch"] == [1, *range(10, 101, 10)]
    assert outcome.history["test_accuracy"][-1] == outcome.metrics["test_accuracy"]


@pytest.mark.parametrize("job", ["linear-regression", "breast-cancer"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_has_a_learning_rate_that_learns(job, optimizer):
    outcome = JOBS[job](Settings(optimizer=optimizer, epochs=60)).run(Silent())
    first, last = outcome.history["loss"][0], outcome.history["loss"][-1]
    assert last < 0.75 * first


def test_a_seed_fixes_a_run_and_another_changes_it():
    def losses(seed):
        settings = Settings(seed=seed, epochs=2, batch_size=50)
        return JOBS["breast-cancer"](settings).run(Silent()).history["loss"]

    assert losses(1) == losses(1) != losses(2)


def test_a_job_does_the_same_on_a_gpu(cp):
    def metrics(device):
        outcome = JOBS["breast-cancer"](Settings(device=device, epochs=3, batch_size=100)).run(
            Silent()
        )
        assert str(next(outcome.model.parameters()).device) == str(tg.device.parse(device))
        return {name: v for name, v in outcome.metrics.items() if name != "seconds"}

    assert metrics("cuda") == pytest.approx(metrics("cpu"), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"lr": 0.0}, ArgumentError, "lr must be"),
        ({"lr": NAN}, ArgumentError, "lr must be"),
        ({"decay_rate": 1.5}, ArgumentError, "decay rate must be"),
        ({"epochs": 0}, ArgumentError, "epochs must be at least 1"),
        ({"batch_size": 0}, ArgumentError, "batch size must be at least 1"),
        ({"seed": -1}, ArgumentError, "seed must be"),
        ({"optimizer": "adan"}, ArgumentError, "'adan'"),
        ({"device": "gpu"}, DeviceError, "'gpu' is unknown"),
        ({"data": "here"}, ArgumentError, "brings its own data"),
    ],
)
def test_jobs_refuse(settings, error, words):
    with pytest.raises(error, match=words):
        JOBS["breast-cancer"](Settings(**settings))


def test_a_run_that_diverges_says_so():
    job = JOBS["linear-regression"](Settings(optimizer="sgd", lr=1e200, epochs=5))
    with pytest.raises(Diverged, match=r"the loss is (inf|nan) in epoch 2; .*below 1e\+200"):
        job.run(Silent())
    # The loss is measured before the update, so here only the outputs can show it.
    job = JOBS["linear-regression"](Settings(optimizer="sgd", lr=1e308, epochs=1))
    with pytest.raises(Diverged, match="after the last epoch"):
        job.run(Silent())


def test_settings_in_use_are_complete():
    settings = JOBS["breast-cancer"](Settings(optimizer="sgd", batch_size=10_000)).settings
    assert settings == {
        "device": "cpu",
        "optimizer": "sgd",
        "lr": 1.0,
        "decay_rate": None,
        "epochs": 100,
        "batch_size": 455,
        "seed": 0,
        "data": None,
    }


# --- reports ------------------------------------------------------------------------------------


def test_rows_line_up(capsys):
    report = Report()
    report.row({"epoch": "1", "a long heading": "0.5"})
    report.row({"epoch": "100", "a long heading": "0.25"})
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "    epoch  a long heading",
        "        1             0.5",
        "      100            0.25",
    ]
    report.table(("name", "value"), [("a", "1"), ("longer", "22")])
    assert capsys.readouterr().out.splitlines() == [
        "name    value",
        "a           1",
        "longer     22",
    ]


def test_the_bar_reads_the_loss_only_when_it_is_due(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    read = []

    class Loss:
        def item(self):
            read.append(clock[0])
            return 0.5

    report = TerminalReport()
    with report.working(100, "samples"):
        for _ in range(50):
            clock[0] += 0.03
            report.advance(2, "epoch 1/1", Loss())
        shown = report._bar.tasks[0]
        assert shown.fields["loss"].strip() == "loss 0.5"
        assert shown.completed == 96  # of 100: two steps since the last look
        assert shown.fields["rate"] == "67 samples/s"
    assert len(read) == 12
    report.advance(1, "after the end")


def test_a_terminal_without_rich_gets_plain_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert type(make_report()) is TerminalReport
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    assert type(make_report()) is Report


# --- folders of runs ----------------------------------------------------------------------------


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_run_folder_appears_complete(tmp_path):
    with RunFolder("job", tmp_path / "a" / "run") as folder:
        folder.write_json("metrics.json", {"loss": np.float64(0.5), "bad": [NAN, -INF, 1]})
        assert not folder.path.exists()
    assert everything(tmp_path) == ["a", "a/run", "a/run/metrics.json"]
    content = json.loads((folder.path / "metrics.json").read_text())
    assert content == {"loss": 0.5, "bad": [None, None, 1]}


@pytest.mark.parametrize("accident", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_fails_leaves_nothing(tmp_path, accident):
    def run(out):
        with RunFolder("job", out) as folder:
            folder.write_json("metrics.json", {})
            raise accident

    with pytest.raises(accident):
        run(tmp_path / "a" / "b" / "run")
    assert everything(tmp_path) == []
    # A parent that others use stays.
    (tmp_path / "mine").mkdir()
    with pytest.raises(accident):
        run(tmp_path / "mine")
    with pytest.raises(accident):
        run(tmp_path / "mine" / "run")
    assert everything(tmp_path) == ["mine"]


def test_an_empty_folder_is_filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RunFolder("job", ".") as folder:
        folder.write_json("metrics.json", {})
        folder.write_json("settings.json", {})
    assert everything(tmp_path) == ["metrics.json", "settings.json"]


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArgumentError, match="not empty"):
        RunFolder("job", tmp_path / "run")
    with pytest.raises(ArgumentError, match="is a file"):
        RunFolder("job", tmp_path / "run" / "thesis.txt")
    with (
        pytest.raises(DataError, match="cannot write"),
        RunFolder("job", tmp_path / "run" / "thesis.txt" / "new"),
    ):
        pass
    assert everything(tmp_path) == ["run", "run/thesis.txt"]


def test_a_folder_taken_meanwhile_is_not_overwritten(tmp_path):
    def late(out):
        with RunFolder("job", out) as folder:
            folder.write_json("mine.json", {})
            folder.path.mkdir()
            (folder.path / "theirs.json").write_text("{}")

    with pytest.raises(OSError, match="run"):
        late(tmp_path / "run")
    assert everything(tmp_path) == ["run", "run/theirs.json"]


def test_two_runs_in_one_second_have_two_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: "20300102-030405")
    folders = []
    for _ in range(3):
        with RunFolder("job") as folder:
            folder.write_json("metrics.json", {})
        folders.append(folder.path.name)
    assert folders == [f"job-20300102-030405{end}" for end in ("", "-2", "-3")]
    assert everything(tmp_path / "runs") == sorted(
        [*folders, *(f"{name}/metrics.json" for name in folders)]
    )


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with (
        pytest.raises(DataError, match=r"Permission denied; .*--out"),
        RunFolder("job", tmp_path / "a"),
    ):
        pass


def test_weights_come_back(tmp_path):
    model = sigmoid_net(3, 2, 1)
    with RunFolder("job", tmp_path / "run") as folder:
        folder.write_weights(model, {"lr": 0.1})
    file = folder.path / "weights.safetensors"
    other = sigmoid_net(3, 2, 1)
    other.load_state_dict(tg.load(file))
    x = tg.ones(1, 3, dtype=tg.float64)
    assert other(x).item() == model(x).item()
    assert json.loads(tg.serialization.load_metadata(file)["settings"]) == {"lr": 0.1}


def test_what_an_epoch_shows():
    x = tg.zeros(3, 1)
    model = tg.nn.Linear(1, 1, bias=False)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    (epoch,) = fit(model, tg.nn.functional.mse_loss, optimizer, [(x, x + 0.5)], 1)
    assert repr(epoch) == "Epoch(1, loss=Mean(0.25 of 3), metric=Mean(nothing yet))"
