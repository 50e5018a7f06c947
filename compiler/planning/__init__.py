"""The workshop of the plan pass: identity, reuse, cost."""
