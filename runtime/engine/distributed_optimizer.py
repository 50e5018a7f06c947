"""Mends of Megatron's DistributedOptimizer where it steps with torch's AdamW: without Transformer Engine and Apex.

In megatron-core 0.16.1 (and 0.19.2, by the same lines), saving before the first step fails an assertion, loading stops
at a KeyError, and what is loaded has one `step` tensor for all parameters: every parameter's update then counts it up,
so that bias correction goes wrong without a word. Megatron's own files are not edited.
"""

import functools
from typing import Any

import torch
from megatron.core.optimizer import distrib_optimizer
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer


def mend() -> None:
    """Replaces two methods and completes one; does nothing where they step with Transformer Engine, or twice."""
    if distrib_optimizer.HAVE_APEX_OR_TE or hasattr(DistributedOptimizer.load_state_dict, "mended"):
        return
    DistributedOptimizer.state_dict = _after_a_first_step(DistributedOptimizer.state_dict)
    DistributedOptimizer.load_state_dict = _with_steps_apart(DistributedOptimizer.load_state_dict)
    DistributedOptimizer._set_main_param_and_optimizer_states = _copy_what_both_have


def _after_a_first_step(state_dict: Any) -> Any:
    """distrib_optimizer.py:642 wants the one step of all states, and a fresh optimizer has none."""

    @functools.wraps(state_dict)
    def mended(self: Any) -> Any:
        if not self.optimizer.state:
            kept = [(parameter, parameter.detach().clone()) for parameter in _parameters(self)]
            rates = [(group, group["lr"]) for group in self.optimizer.param_groups]
            for group, _ in rates:
                group["lr"] = 0.0
            self._init_optimizer_states_with_dummy_values()
            for group, rate in rates:
                group["lr"] = rate
            with torch.no_grad():
                for parameter, value in kept:
                    parameter.copy_(value)
            for state in self.optimizer.state.values():
                state["step"].zero_()
        return state_dict(self)

    return mended


def _with_steps_apart(load_state_dict: Any) -> Any:
    """distrib_optimizer.py:825 gives all parameters one tensor."""

    @functools.wraps(load_state_dict)
    def mended(self: Any, state_dict: Any) -> None:
        load_state_dict(self, state_dict)
        step = float(state_dict["optimizer"]["param_groups"][0]["step"])
        for state in self.optimizer.state.values():
            state["step"] = torch.tensor(step)

    mended.mended = True  # type: ignore[attr-defined]
    return mended


def _copy_what_both_have(self: Any, model_param: Any, tensors: Any) -> None:
    """distrib_optimizer.py:939 asks the loaded tensors for `step`, which is kept with the parameter groups."""
    group, place = self.model_param_group_index_map[model_param]
    main_param = self.optimizer.param_groups[group]["params"][place]
    for name, target in {"param": main_param, **self.optimizer.state[main_param]}.items():
        if name in tensors:
            target.copy_(tensors[name])


def _parameters(self: Any) -> list[Any]:
    return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
