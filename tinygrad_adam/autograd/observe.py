"""Looking on while derivatives run: nodes whose rules are, for a while, somebody else's.

The walk runs what a node's plan names.  `observed` puts other plans into the nodes and takes them
out again, so looking on costs nothing where nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from .graph import Node
from .registry import Plan, Rule

__all__ = ["kept_names", "observed", "recorded_plan"]


class _Observed(Plan):
    """A plan with other rules; `original` is the one it stands for, which may be such a one."""

    __slots__ = ("original",)

    def __init__(self, node: Node, wrap: Wrap) -> None:
        self.original = plan = node.plan
        self.arrays, self.shapes, self.params = plan.arrays, plan.shapes, plan.params
        self.pick = plan.pick
        names = kept_names(node)
        self.steps, self.plain = (
            tuple(
                (i, wrap(node, i, rule, [names[k] for k in picks]), picks, only)
                for i, rule, picks, only in steps
            )
            for steps in (plan.steps, plan.plain)
        )


# From a node, the position of an input, its rule, and the names of what the rule is given after
# F and g, to the rule that runs instead.
Wrap = Callable[[Node, int, Rule, list[str]], Rule]


@contextmanager
def observed(nodes: Iterable[Node], wrap: Wrap) -> Iterator[None]:
    """Inside the block, the rules of `nodes` are what `wrap` makes of them."""
    seen = list(nodes)
    try:
        for node in seen:
            node.plan = _Observed(node, wrap)
        yield
    finally:
        for node in seen:  # another thread may have put a plan back already
            node.plan = getattr(node.plan, "original", node.plan)


def recorded_plan(node: Node) -> Plan:
    """Return the plan that `node` was recorded with."""
    plan = node.plan
    while isinstance(plan, _Observed):
        plan = plan.original
    return plan


def kept_names(node: Node) -> list[str]:
    """Return what each of the saved is, in the words that rules ask for it."""
    operands, plan = (*node.op.inputs, "y"), node.plan
    arrays = [operands[i] for i in plan.arrays]
    return [*arrays, *(f"{operands[i]}_shape" for i in plan.shapes), *plan.params]
