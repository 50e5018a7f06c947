"""Runs programs that nobody trusts: what a model has written, above all. See `run`."""

from runtime.sandbox.run import Limits, Outcome, SandboxUnavailableError, run

__all__ = ["Limits", "Outcome", "SandboxUnavailableError", "run"]
