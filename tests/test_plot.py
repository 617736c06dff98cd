"""The figures: what is in them, that they need no display and touch no global state."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import plot
from tinygrad_adam.errors import ArgumentError, DataError, MissingPackageError, ShapeError

NAN, INF = math.nan, math.inf
PNG = b"\x89PNG\r\n\x1a\n"


def drawn(figure):
    """Draw for real, warnings being errors, and return the pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def texts(axes):
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


# --- no pyplot, no display, no import ----------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "draw"),
    [
        ("matplotlib", lambda: plot.loss_curve([1.0])),
        ("sklearn", lambda: plot.roc_and_pr([0, 1], [0.0, 1.0])),
    ],
)
def test_without_the_package_that_draws(module, draw, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=r"needs the .* package; .*pip install"):
        draw()


def test_importing_loads_no_matplotlib_and_drawing_loads_no_pyplot(tmp_path):
    code = f"""
import sys
import numpy as np
from tinygrad_adam import plot
assert "matplotlib" not in sys.modules and "sklearn" not in sys.modules
labels = np.array([0, 1, 1, 0])
figures = [
    plot.loss_curve([2.0, 1.0]),
    plot.optimizer_comparison({{"a": [2.0, 1.0]}}),
    plot.predicted_vs_true([1.0, 2.0], [1.0, 2.0]),
    plot.roc_and_pr(labels, labels * 0.5),
    plot.confusion_matrix(labels, labels, classes=2),
    plot.misclassified(np.zeros((4, 5, 5)), labels, 1 - labels),
    plot.filters(np.ones((2, 1, 3, 3))),
    plot.paths_on_contours(lambda x, y: x * y, {{}}, xlim=(0, 1), ylim=(0, 1)),
]
for number, figure in enumerate(figures):
    plot.save(figure, {str(tmp_path)!r} + f"/{{number}}.png")
assert "matplotlib.pyplot" not in sys.modules
"""
    # A backend that needs a display: whoever asks for the global one fails.
    env = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | {"MPLBACKEND": "TkAgg"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for number in range(8):
        assert (tmp_path / f"{number}.png").read_bytes().startswith(PNG)


def test_settings_of_matplotlib_stay_as_they_were():
    import matplotlib

    before = dict(matplotlib.rcParams)
    drawn(plot.optimizer_comparison({"a": [1.0, 0.1]}))
    drawn(plot.filters(np.ones((2, 1, 3, 3))))
    assert dict(matplotlib.rcParams) == before


# --- loss curves --------------------------------------------------------------------------------


def test_loss_curve_is_slide_4():
    axes = plot.loss_curve([3.0, 2.0, 1.0], ylabel="MSE Loss").axes[0]
    assert axes.get_title() == "Training Loss Over Time"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "MSE Loss")
    assert axes.get_yscale() == "log"
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [0, 1, 2]
    assert line.get_ydata().tolist() == [3.0, 2.0, 1.0]
    assert texts(axes) == []


def test_loss_curve_of_several_runs_has_a_legend_and_starts_where_told():
    axes = plot.loss_curve({"train": [1.0, 0.5], "test": [2.0]}, start=1, log=False).axes[0]
    assert texts(axes) == ["train", "test"]
    assert axes.lines[0].get_xdata().tolist() == [1, 2]
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize("log", [True, False])
def test_the_ticks_of_one_epoch_are_whole(log):
    figure = plot.loss_curve([0.5], start=1, log=log)
    drawn(figure)
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(
    "losses",
    [
        [NAN, 1.0, INF, 0.5, -INF],
        [NAN, NAN],
        [1.0, 0.0, -1.0],
        [0.0, -1.0],
        [1.0, 1e300, NAN],
        [5.0],
        {"a": [], "b": [1.0]},
    ],
)
def test_loss_curve_draws_anything(losses, log):
    pixels = drawn(plot.loss_curve(losses, log=log))
    assert pixels.std() > 0


def test_what_cannot_be_drawn_is_a_gap():
    linear = plot.loss_curve([1.0, NAN, -1.0, INF], log=False).axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(linear, [1.0, NAN, -1.0, NAN])
    log = plot.loss_curve([1.0, NAN, -1.0, INF]).axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(log, [1.0, NAN, NAN, NAN])


def test_loss_curve_takes_tensors_and_generators():
    line = plot.loss_curve(tg.tensor(v) for v in (2.0, 1.0)).axes[0].lines[0]
    assert line.get_ydata().tolist() == [2.0, 1.0]


@pytest.mark.parametrize("losses", [[], {}, {"a": []}])
def test_nothing_to_draw(losses):
    with pytest.raises(DataError, match="nothing to draw"):
        plot.loss_curve(losses)


# --- optimisers ---------------------------------------------------------------------------------


def test_optimizer_comparison_is_slide_13_without_its_fault():
    histories = {"Adam": [4.0, 1.0, 0.1], "SGD": [4.0, 1e200, NAN], "late": [4.0, 5.0, INF]}
    figure = plot.optimizer_comparison(histories)
    axes = figure.axes[0]
    assert axes.get_title() == "Optimizer Comparison"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Iteration", "Loss")
    assert axes.get_yscale() == "log"
    assert texts(axes) == ["Adam", "SGD (diverged at 2)", "late (diverged at 2)"]
    # The run that explodes does not squeeze the others into a line.
    assert axes.get_ylim()[1] <= 400.0
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[0], [1]]
    drawn(figure)


def test_paths_on_contours():
    ahead = np.array([[-1.0, 1.0], [0.0, 0.5], [1.0, 1.0]])
    astray = np.array([[-1.0, 1.0], [1e300, -1e300], [NAN, NAN], [0.0, 0.0]])
    figure = plot.paths_on_contours(
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        {"ahead": ahead, "astray": astray},
        xlim=(-2, 2),
        ylim=(-1, 3),
        minimum=(1.0, 1.0),
    )
    axes = figure.axes[0]
    assert texts(axes) == ["ahead", "astray", "start", "minimum"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    assert axes.get_xlim() == (-2, 2)
    assert axes.get_ylim() == (-1, 3)
    np.testing.assert_array_equal(np.column_stack(axes.lines[0].get_data()), ahead)
    # Up to the first point that is not finite, and no farther off than can be drawn.
    assert len(axes.lines[2].get_xdata()) == 2
    assert np.abs(axes.lines[2].get_xydata()).max() < 100
    star = next(line for line in axes.lines if line.get_marker() == "*")
    assert star.get_xydata().tolist() == [[1.0, 1.0]]
    drawn(figure)
    # The legend stands beside the paths, inside the figure.
    legend, plane = axes.get_legend().get_window_extent(), axes.get_window_extent()
    assert not legend.overlaps(plane)
    assert figure.bbox.x1 >= legend.x1 > legend.x0 >= plane.x1


def test_contours_of_a_constant_and_of_a_function_with_holes():
    def holes(x, y):
        with np.errstate(all="ignore"):
            return np.log(x) + 1 / (y - y)

    for function in (lambda x, y: np.zeros_like(x), holes, lambda x, y: np.sqrt(np.abs(x)) - y):
        drawn(plot.paths_on_contours(function, {}, xlim=(-1, 1), ylim=(-1, 1)))


@pytest.mark.parametrize(
    ("paths", "limits", "error"),
    [
        ({"a": np.zeros((3, 3))}, (0, 1), ShapeError),
        ({"a": np.zeros((0, 2))}, (0, 1), ShapeError),
        ({}, (1, 0), ArgumentError),
        ({}, (0, INF), ArgumentError),
    ],
)
def test_wrong_paths(paths, limits, error):
    with pytest.raises(error, match="paths_on_contours"):
        plot.paths_on_contours(lambda x, y: x + y, paths, xlim=limits, ylim=(0, 1))


def test_a_function_that_is_not_elementwise():
    with pytest.raises(ShapeError, match="elementwise"):
        plot.paths_on_contours(lambda x, y: 1.0, {}, xlim=(0, 1), ylim=(0, 1))


def test_predicted_vs_true():
    axes = plot.predicted_vs_true(np.array([[1.0], [3.0]]), tg.tensor([1.5, 2.5])).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("True value", "Predicted value")
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [[1.0, 1.5], [3.0, 2.5]])
    with pytest.raises(ShapeError, match="2 and 3"):
        plot.predicted_vs_true([1.0, 2.0], [1.0, 2.0, 3.0])


# --- classifiers --------------------------------------------------------------------------------


def test_roc_and_pr_is_slide_9():
    figure = plot.roc_and_pr(tg.tensor([[0], [0], [1], [1]]), np.array([0.1, 0.4, 0.35, 0.8]))
    roc, pr = figure.axes
    assert (roc.get_title(), pr.get_title()) == ("ROC Curve", "Precision-Recall Curve")
    assert (roc.get_xlabel(), roc.get_ylabel()) == ("False Positive Rate", "True Positive Rate")
    assert (pr.get_xlabel(), pr.get_ylabel()) == ("Recall", "Precision")
    # Worked by hand: three of the four pairs are in order; trapezia of height 1/2.
    assert texts(roc)[0] == "ROC curve (AUC = 0.75)"
    assert texts(pr)[0] == "PR curve (AUC = 0.79)"


def test_an_area_just_below_one_is_not_called_one():
    labels = np.repeat([0, 1], 100)
    scores = np.arange(200.0)
    assert texts(plot.roc_and_pr(labels, scores).axes[0])[0] == "ROC curve (AUC = 1.00)"
    scores[[99, 100]] = scores[[100, 99]]
    assert texts(plot.roc_and_pr(labels, scores).axes[0])[0] == "ROC curve (AUC = 0.9999)"


@pytest.mark.parametrize(
    ("labels", "scores", "error", "words"),
    [
        ([0, 1], [0.5], ShapeError, "2 labels but 1 scores"),
        ([1, 1], [0.5, 0.6], DataError, "both present"),
        ([0, 2], [0.5, 0.6], DataError, "both present"),
        ([0, 1], [0.5, NAN], DataError, "NaN"),
    ],
)
def test_roc_refuses(labels, scores, error, words):
    with pytest.raises(error, match=words):
        plot.roc_and_pr(labels, scores)


def test_confusion_matrix_counts():
    true = tg.tensor([0, 0, 1, 2, 2, 2])
    figure = plot.confusion_matrix(true, [0, 1, 1, 2, 2, 0], classes=3, names="abc")
    axes = figure.axes[0]
    assert axes.get_title() == "Confusion Matrix\n4 of 6 right (66.7 %)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted", "True")
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    # Position is (column, row).
    assert cells == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (0, 2): "1", (2, 2): "2"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    drawn(figure)


def test_confusion_matrix_of_many_classes_has_no_numbers_to_overlap():
    figure = plot.confusion_matrix(range(100), range(100), classes=100)
    assert len(figure.axes[0].texts) == 0
    drawn(figure)


@pytest.mark.parametrize(
    ("labels", "predictions", "error"),
    [
        ([0, 1], [0], ShapeError),
        ([], [], DataError),
        ([0.0], [0.0], DataError),
        ([0], [2], DataError),
        ([-1], [0], DataError),
    ],
)
def test_confusion_matrix_refuses(labels, predictions, error):
    with pytest.raises(error, match="confusion_matrix"):
        plot.confusion_matrix(labels, predictions, classes=2)


@pytest.mark.parametrize("shape", [(4, 6, 5), (4, 1, 6, 5)])
def test_misclassified(shape):
    images = np.arange(120.0).reshape(shape)
    figure = plot.misclassified(images, tg.tensor([1, 2, 3, 4]), [1, 5, 3, 6])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["2 as 5", "4 as 6"]
    shown = axes.images[1].get_array()
    np.testing.assert_array_equal(shown, np.arange(90.0, 120).reshape(6, 5))
    assert axes.get_title() == "2 of 4 misclassified (true as predicted)"
    drawn(figure)


def test_misclassified_draws_no_more_than_asked_and_copes_with_perfection():
    wrong = plot.misclassified(np.zeros((40, 3, 3)), [0] * 40, [1] * 40, most=7)
    assert len(wrong.axes[0].images) == len(wrong.axes[0].texts) == 7
    title = "40 of 40 misclassified (true as predicted)\nthe first 7 of 40"
    assert wrong.axes[0].get_title() == title
    perfect = plot.misclassified(np.zeros((4, 3, 3)), [0] * 4, [0] * 4)
    assert len(perfect.axes[0].images) == 0
    assert perfect.axes[0].get_title().startswith("0 of 4")
    drawn(perfect)


def test_misclassified_refuses():
    with pytest.raises(ShapeError, match="images"):
        plot.misclassified(np.zeros((4, 3, 3, 3)), [0] * 4, [0] * 4)
    with pytest.raises(ShapeError, match="labels"):
        plot.misclassified(np.zeros((4, 3, 3)), [0] * 3, [0] * 4)
    with pytest.raises(ArgumentError, match="at least 1"):
        plot.misclassified(np.zeros((4, 3, 3)), [0] * 4, [0] * 4, most=0)


def test_pictures_in_a_grid_do_not_overlap():
    axes = plot.filters(np.ones((7, 1, 2, 3))).axes[0]
    boxes = [image.get_extent() for image in axes.images]
    for k, (left, right, bottom, top) in enumerate(boxes):
        assert (bottom - top) / (right - left) == pytest.approx(2 / 3)
        for left2, right2, bottom2, top2 in boxes[:k]:
            assert left >= right2 or right <= left2 or top >= bottom2 or bottom <= top2


def test_filters_share_a_scale_centred_on_zero():
    model = tg.nn.Conv2d(1, 5, 3)
    figure = plot.filters(model.weight)
    images = figure.axes[0].images
    assert len(images) == 5
    limit = float(np.abs(model.weight.data).max())
    assert {image.get_clim() for image in images} == {(-limit, limit)}
    np.testing.assert_array_equal(images[3].get_array(), model.weight.data[3, 0])
    drawn(figure)
    drawn(plot.filters(np.zeros((1, 1, 3, 3))))


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (4, 1, 3), (0, 1, 3, 3)])
def test_filters_refuse_other_shapes(shape):
    with pytest.raises(ShapeError, match="filters"):
        plot.filters(np.zeros(shape))


def test_filters_refuse_nan():
    with pytest.raises(DataError, match="NaN"):
        plot.filters(np.full((1, 1, 2, 2), NAN))


# --- saving -------------------------------------------------------------------------------------


def test_save_makes_the_folder_and_leaves_nothing_else(tmp_path):
    path = plot.save(plot.loss_curve([1.0]), tmp_path / "a" / "b" / "loss.png")
    assert path.read_bytes().startswith(PNG)
    assert [file.name for file in path.parent.iterdir()] == ["loss.png"]


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "loss.png"
    path.write_bytes(b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="No space left"):
        plot.save(plot.loss_curve([1.0]), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["loss.png"]


def test_save_refuses(tmp_path):
    figure = plot.loss_curve([1.0])
    with pytest.raises(ArgumentError, match=r"\.png"):
        plot.save(figure, tmp_path / "loss.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        plot.save(figure, tmp_path / "file" / "loss.png")
