"""The benchmarks run: every case builds, ours does the work, and the statistics are right."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_adam as tg

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def b():
    """Import the benchmarks as their commands do, from their own folder."""
    names = {path.stem for path in BENCHMARKS.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names & set(sys.modules)}
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import cases
        import measure
        import peers
        import profile_step
        import report
        import run

        yield SimpleNamespace(
            cases=cases,
            measure=measure,
            peers=peers,
            profile_step=profile_step,
            report=report,
            run=run,
        )
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in names & set(sys.modules):
            del sys.modules[name]
        sys.modules.update(before)


def test_every_case_of_every_group_builds(b):
    for name in b.run.chosen(list(b.cases.GROUPS)):
        work = b.cases.case(name)
        assert work.name == name
        if work.layers:
            weights = [layer for layer in work.layers if layer[0] in ("linear", "conv")]
            assert len(work.parameters()) == 2 * len(weights)
            assert list(work.shapes())[-1] == (work.x[0], weights[-1][2])


def test_an_unknown_case_is_refused(b):
    with pytest.raises(ValueError, match="no case 'convnot'"):
        b.run.chosen(["convnot"])


def test_flops_of_the_convnet(b):
    # forward 2 * (26 * 26 * 32 * 9 + 5408 * 128 + 128 * 10) an image
    one = 2 * (26 * 26 * 32 * 9 + 5408 * 128 + 128 * 10)
    assert b.cases.case("infer1").flops() == one
    first = 2 * 26 * 26 * 32 * 9  # whose input needs no gradient
    assert b.cases.case("convnet64").flops() == 64 * (3 * one - first)


def numbers(b, name, steps=3):
    peer = b.peers.ROWS["ours"].adapter()
    ((work, prepare),) = peer.build(b.cases.case(name)).values()
    found = []
    for _ in range(steps):
        if prepare is not None:
            prepare()
        found.append(peer.number(work()))
    return found


@pytest.mark.parametrize("name", ["rosenbrock", "linreg50", "mlp50", "convnet2", "vgg1"])
def test_a_step_of_ours_lowers_the_loss(b, name):
    losses = numbers(b, name)
    assert np.isfinite(losses).all()
    assert losses[2] < losses[0]


def test_the_other_parts_of_ours_run(b):
    # a = 1, b = 0.5: each z is 2 - 0.5**k, of 16 elements
    assert numbers(b, "chain20") == [16 * (2 - 0.5**10)] * 3
    first, second, _ = numbers(b, "infer2")
    assert first == second
    assert numbers(b, "adam_convnet2") == [0.0, 0.0, 0.0]


def test_single_operations_run_forward_and_backward(b):
    timed = b.peers.ROWS["ours"].adapter().build(b.cases.case("ops"))
    for label, (work, _) in timed.items():
        assert work() is not None, label
        assert f"{label} + backward" in timed or label.endswith(" + backward")


def test_adam_written_for_numpy_is_ours(b):
    work = b.cases.case("linreg50")
    mine = b.peers.OnNumpy()
    mine.start(work.parameters())
    x, y = work.batch()
    losses = []
    for _ in range(5):
        w, bias = mine.arrays
        error = x @ w.T + bias - y
        losses.append(float((error**2).mean()))
        scaled = 2 * error / len(x)
        mine.update([scaled.T @ x, scaled.sum(0)])
    np.testing.assert_allclose(losses, numbers(b, "linreg50", 5), rtol=1e-6)


def test_statistics(b):
    assert b.measure.ratio([2, 6, 4], [1, 2, 4]) == (2, 1, 3)
    times = {"torch a x1": {"": [3, 9, 1]}, "torch b x2": {"": [2, 2, 2]}, "ours": {"": [1, 1, 1]}}
    assert b.measure.fastest(times, "", "torch") == "torch b x2"
    assert b.measure.fastest(times, "", "torch", "x1") == "torch a x1"
    assert b.measure.fastest(times, "", "jax") is None
    assert b.measure.disagreement({"a": [2.0, 1.0], "b": [2.0, 1.5]}) == pytest.approx(1 / 3)


def test_short_work_is_timed_in_groups(b):
    calls = []
    each = b.measure.seconds_each(b.peers.Peer(), lambda: calls.append(0), None, 0.0)
    assert each < 1e-3
    assert len(calls) > 100


def test_blas_is_not_pinned(b, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("KEPT", "1")
    found = b.measure.environment({"TINYGRAD_ADAM_FAST": "0"})
    assert "OPENBLAS_CORETYPE" not in found
    assert (found["KEPT"], found["TINYGRAD_ADAM_FAST"]) == ("1", "0")


class Runner:
    """Stands for a process; each turn takes a microsecond longer."""

    def __init__(self, log, name, fails_at=99):
        self.log, self.name, self.fails_at, self.turns = log, name, fails_at, 0

    def turn(self, seconds):
        self.log.append(self.name)
        self.turns += 1
        if self.turns == self.fails_at:
            raise self.failure("no more")
        return {"": float(self.turns)}


def test_turns_alternate_and_a_failing_row_drops_out(b, monkeypatch):
    monkeypatch.setattr(b.measure, "REST", 0)
    Runner.failure = b.measure.RowFailed
    log, failed = [], {}
    workers = {"x": Runner(log, "x"), "y": Runner(log, "y", fails_at=2), "z": Runner(log, "z")}
    taken = b.measure.take_turns(workers, failed, 3, 0.1)
    assert log == ["x", "y", "z", "z", "y", "x", "x", "z"]
    assert taken["times"] == {"x": {"": [1, 2, 3]}, "z": {"": [1, 2, 3]}}
    assert failed == {"y": "no more"}


RACED = {
    "case": "linreg",
    "about": "",
    "flops": 0,
    "load": [0.1, 0.2],
    "times": {
        "torch fused x1": {"": [200.0, 220.0, 210.0]},
        "torch plain x1": {"": [300.0, 300.0, 300.0]},
        "ours": {"": [100.0, 100.0, 70.0]},
        "jax jit": {"": [1000.0, 1000.0, 1000.0]},
    },
    "numbers": {"ours": [1.0]},
    "versions": {"ours": {"numpy": "2.0"}},
    "kernels": {"ours": ["openblas X"]},
    "failed": {"mygrad": "no clang"},
}


def test_tables_go_between_their_markers(b):
    made = {t.name: t for t in b.report.tables({"machine": {"cores": 2}, "races": [RACED]})}
    row = dict(zip(made["steps"].head, made["steps"].rows[0], strict=True))
    assert row["PyTorch"] == "210 µs (fused x1)"
    assert row["PyTorch / ours"] == "2.20 (2.00-3.00)"
    assert row["ours, NumPy alone"] == "-"
    assert made["others"].rows[0][1:3] == ("1 ms (10.00, -)", "-")
    assert made["failed"].rows == [("linreg", "mygrad", "no clang")]
    page = "a\n<!-- begin steps -->\nold\n<!-- end steps -->\nz"
    new = b.report.filled(page, [made["steps"]])
    assert "old" not in new
    assert "| linreg | 210 µs (fused x1) |" in new
    assert new.startswith("a\n")
    assert new.endswith("\nz")
    with pytest.raises(ValueError, match="no place for steps"):
        b.report.filled("", [made["steps"]])
    assert "linreg" in b.report.plain(made["steps"])


def test_the_profile_counts_products_and_bytes(b):
    watch = b.profile_step.Watch(b.profile_step.parts(), counting=True)
    loss, _ = b.peers.ROWS["ours"].adapter().loss(b.cases.case("mlp_wide32"))
    with watch:
        loss().backward()
    sizes = [(784, 32), (32, 32), (32, 10)]
    forward = sum(2 * 128 * i * o for i, o in sizes)
    weights = 4 * sum(i * o + o for i, o in sizes)
    moved = 4 * sum(128 * (i + o) for i, o in sizes)
    assert watch.costs["linear", "value"] == [3, forward, moved + weights]
    assert watch.costs["linear", "w"][:2] == [3, forward]
    assert watch.costs["linear", "x"][:2] == [2, forward - 2 * 128 * 784 * 32]
    assert set(watch.seconds) == set(watch.costs)
    total = sum(flops for _, flops, _ in watch.costs.values())
    assert total == b.cases.case("mlp_wide32").flops()


def test_the_profile_of_a_convolution(b):
    before = tg.is_fast()
    tg.set_fast(False)  # one loop for several layers multiplies less
    try:
        watch = b.profile_step.Watch(b.profile_step.parts(), counting=True)
        loss, _ = b.peers.ROWS["ours"].adapter().loss(b.cases.case("convnet2"))
        with watch:
            loss().backward()
    finally:
        tg.set_fast(before)
    total = sum(flops for _, flops, _ in watch.costs.values())
    assert total == b.cases.case("convnet2").flops()


def test_the_profile_makes_a_table(b, capsys, monkeypatch):
    monkeypatch.setattr(b.profile_step, "product_speed", lambda clock: 1e9)
    monkeypatch.setattr(b.profile_step, "bandwidths", lambda clock: iter([(1, 1e9)]))
    table, facts = b.profile_step.profile("mlp20", 0.0)
    shares = [float(row[4].split()[0]) for row in table.rows]
    assert sum(shares) == pytest.approx(100, abs=1)
    assert {"linear", "sigmoid", "(tape)", "Adam"} <= {row[0] for row in table.rows}
    assert facts["products"].startswith("0.000 GFLOP")
