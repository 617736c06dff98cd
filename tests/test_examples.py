"""Every example runs, saves its figures, and prints what docs/deck.md says it prints."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import data, optim
from tinygrad_adam.errors import TinygradError

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("slide*.py"))
PAGE = (ROOT / "docs" / "deck.md").read_text(encoding="utf-8")
FIGURES = {
    "newton_logistic_regression": {"newton_logistic_regression"},
    "slide01_adam_by_hand": {"slide01_adam_by_hand"},
    "slide03_linear_regression": {"slide04_linear_regression"},
    "slide05_breast_cancer": {"slide08_loss", "slide09_roc_and_pr"},
    "slide10_decay": {"slide10_decay"},
    "slide11_optimizers": {"slide11_paths", "slide13_optimizers"},
    "slide12_convnet": {
        "slide12_loss", "slide12_confusion", "slide12_misclassified", "slide12_filters",
    },
    "slide13_training_results": {"slide13_training_results"},
}  # fmt: skip


def documented(name):
    """Return the output of an example that the page shows."""
    return re.search(rf"^```text {name}\n(.*?)^```$", PAGE, re.M | re.S)[1]


def assert_same_text(printed, expected):
    """Compare words exactly, and numbers to a per cent."""
    ours, theirs = (re.split(r"[\s,;:]+", text.strip()) for text in (printed, expected))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        try:
            assert float(a) == pytest.approx(float(b), rel=1e-2, nan_ok=True)
        except ValueError:
            assert a == b


def figures(folder):
    for file in folder.glob("*.png"):
        assert file.read_bytes().startswith(b"\x89PNG")
    return {file.stem for file in folder.iterdir()}


def run_example(name, out, *args, **settings):
    """Call an example's `main` and check its figures; return its results."""
    main = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]
    results = main(out / "figures", *args, **settings)
    assert figures(out / "figures") == FIGURES[name]
    return results


def script(name, out, monkeypatch, capsys, *args):
    """Run an example as ``python examples/NAME.py --out OUT``; return what it says of its own."""
    path = str(ROOT / "examples" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [path, "--out", str(out), *args])
    runpy.run_path(path, run_name="__main__")
    assert figures(out) == FIGURES[name]
    printed, where = capsys.readouterr().out.rsplit("figures saved in ", 1)
    assert where == f"{out}\n"
    return printed


def test_the_page_has_every_example_and_figure():
    slides = {name: files for name, files in FIGURES.items() if name.startswith("slide")}
    assert [path.stem for path in EXAMPLES] == sorted(slides)
    for name, files in slides.items():
        assert documented(name)
        assert all(f"`{file}.png`" in PAGE for file in files)


def test_examples_stay_short():
    for path in EXAMPLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 100, path.name


def test_adam_by_hand(tmp_path, monkeypatch, capsys):
    printed = script("slide01_adam_by_hand", tmp_path, monkeypatch, capsys)
    assert_same_text(printed, documented("slide01_adam_by_hand"))
    assert "agree over 100 updates: True" in printed


def test_linear_regression(tmp_path, capsys):
    results = run_example("slide03_linear_regression", tmp_path)
    assert_same_text(capsys.readouterr().out, documented("slide03_linear_regression"))
    assert results["best"] == pytest.approx(0.010183269710035418, rel=1e-8)
    assert results["final"] == pytest.approx(results["best"], rel=1e-8)


def test_breast_cancer(tmp_path, capsys):
    results = run_example("slide05_breast_cancer", tmp_path)
    assert_same_text(capsys.readouterr().out, documented("slide05_breast_cancer"))
    accuracy, auc, _ = results["deck"]
    assert accuracy == pytest.approx(71 / 114)
    assert auc > 0.99
    assert 800 < results["first_epoch"] < 900
    assert sorted(results["xavier"]) == [0, 1, 2, 3, 4]
    for accuracy, auc, _ in results["xavier"].values():
        assert accuracy >= 0.96
        assert auc >= 0.99


def test_decay(tmp_path, capsys):
    results = run_example("slide10_decay", tmp_path, steps=2500)
    printed, expected = capsys.readouterr().out, documented("slide10_decay")
    schedule = re.compile(r"(.*by \d\.\d %)", re.S)
    assert_same_text(schedule.match(printed)[1], schedule.match(expected)[1])
    worst = [max(values[1250:]) for values in results["histories"].values()]
    assert worst[0] > 1e-3 < worst[1]  # bursts
    assert worst[2] < 1e-4
    assert results["histories"]["0.5 per 1000 updates"][-1] < 1e-9


def test_what_else_stops_the_bursts():
    descend = runpy.run_path(str(ROOT / "examples" / "slide10_decay.py"))["descend"]
    inside = descend(lambda params: optim.Adam(params, lr=0.01, eps=0.0, eps_root=1e-4), 2500)
    amsgrad = descend(lambda params: optim.Adam(params, lr=0.01, amsgrad=True), 2500)
    assert max(inside[1900:]) > 1e-3
    assert max(amsgrad[1900:]) < 1e-6


def test_optimizers(tmp_path, capsys):
    results = run_example("slide11_optimizers", tmp_path)
    texts = [capsys.readouterr().out, documented("slide11_optimizers")]
    if tg.is_fast():
        # RMSprop at this rate never settles: after 400 updates the last bit decides where it is
        rmsprop = r"^(RMSprop, lr 0.01) +\S+ +\d+"
        texts = [re.sub(rmsprop, r"\1", text, flags=re.M) for text in texts]
    assert_same_text(*texts)
    last = results["histories"]["RMSprop, lr 0.01"][-50:]
    assert 0.02 < min(last) < max(last) < 0.06
    assert list(results["reached"].values()) == [409, 613, None, None, 616, None]
    assert np.isnan(results["histories"]["SGD, lr 0.01"][-1])
    for path in results["paths"].values():
        assert path.shape == (1001, 2)
        assert path[0].tolist() == [-1.0, 1.0]


def test_convnet(tmp_path, monkeypatch, capsys):
    printed = script("slide12_convnet", tmp_path, monkeypatch, capsys, "--quick")
    model, epoch = printed.split("epoch 1: ")
    assert_same_text(model, documented("slide12_convnet").split("epoch 1: ")[0])
    assert float(epoch.split()[-1]) > 0.4  # 10 updates on 500 digits; guessing gets 0.1
    assert 0.95 < float(documented("slide12_convnet").split()[-1]) < 1


def test_convnet_class_is_the_slides():
    def body(text):
        return re.search(r"^class ConvNet.*?return x$", text, re.M | re.S)[0]

    def without_blank_lines(text):
        return [line.rstrip() for line in text.splitlines() if line.strip()]

    example = (ROOT / "examples" / "slide12_convnet.py").read_text(encoding="utf-8")
    assert without_blank_lines(body(example)) == without_blank_lines(body(PAGE))


def last_column(table):
    """Return the last word of each line but the first, by the name the line starts with."""
    return {line[:29].strip(): line.split()[-1] for line in table.splitlines()[1:]}


def test_training_results(tmp_path, capsys):
    histories = run_example("slide13_training_results", tmp_path, updates=40)
    printed = last_column(capsys.readouterr().out)
    page = last_column(documented("slide13_training_results"))
    assert printed.keys() == page.keys() == histories.keys()
    for name, updates in page.items():
        within = updates != "never" and int(updates) < 40
        assert printed[name] == (updates if within else "never")
    assert "37" in printed.values()
    assert len({losses[0] for losses in histories.values()}) == 1  # the same starting weights


def test_newton(tmp_path, capsys):
    from sklearn.linear_model import LogisticRegression

    results = run_example("newton_logistic_regression", tmp_path)
    printed = capsys.readouterr().out
    (x, y), _ = data.breast_cancer()
    decay = 0.01
    best = LogisticRegression(C=1 / (decay * len(x)), tol=1e-12, max_iter=10000)
    best.fit(x, y[:, 0])
    logits = best.decision_function(x)
    least = np.logaddexp(0, -logits * (2 * y[:, 0] - 1)).mean() + decay / 2 * (best.coef_**2).sum()
    for name in ("Newton", "Newton, products only"):
        values, lengths = zip(*results[name], strict=True)
        assert values[-1] == pytest.approx(least, rel=1e-11)
        assert lengths[-1] < 1e-12
        assert lengths[-2] < 2e-7 < lengths[-3]  # squared with each step
    assert results["Adam"][-1][0] > least * (1 + 1e-10)
    assert 100 < results["products"] < 170
    assert f"products in all: {results['products']}" in printed


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(TinygradError, match="cannot be written"):
        run_example("slide01_adam_by_hand", tmp_path)
