"""The differentiable operations, a family a file; each value stands beside its derivatives."""
