"""GPUs as their data sheets tell them, and how much of that Megatron-core reaches: constants fitted on published runs.

    gpu = known_gpu("H100-80GB-SXM5")       # None, if it is none of these

`benchmarks/calibrate.py` fits the efficiencies and prints how well they do on rows that it set aside.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GpuType:
    """One GPU. FLOP/s are dense; bytes per second are of one direction."""

    name: str
    peak_flops_16: float
    """bf16 or fp16."""
    peak_flops_8: float
    """FP8; 0 where there is none."""
    memory_bytes: float
    memory_bandwidth: float
    nvlink_bandwidth: float
    """To the other GPUs of its NVLink domain, all together."""
    network_bandwidth: float
    """To GPUs outside it."""
    nvlink_domain: int
    """GPUs that NVLink joins."""
    gemm_efficiency: float
    """Share of the peak that matrix products reach, in 16 bits as in 8; fitted."""


GPUS: Mapping[str, GpuType] = {
    "A100": GpuType("A100", 312e12, 0.0, 80e9, 2.04e12, 300e9, 25e9, 8, 0.662),
    "H100": GpuType("H100", 989e12, 1979e12, 80e9, 3.35e12, 450e9, 50e9, 8, 0.806),
    "H200": GpuType("H200", 989e12, 1979e12, 141e9, 4.8e12, 450e9, 50e9, 8, 0.806),
    "B200": GpuType("B200", 2250e12, 4500e12, 180e9, 8e12, 900e9, 50e9, 8, 0.602),
    "GB200": GpuType("GB200", 2500e12, 5000e12, 186e9, 8e12, 900e9, 50e9, 72, 0.602),
}
"""By name; NVIDIA's data sheets of the SXM forms (A100 80GB, H100, H200, DGX B200, GB200 NVL72): dense FLOP/s, memory
and its bandwidth, NVLink one way; 400 Gb/s of network for each GPU (A100: 200). The last number is fitted on all
published rows; H200 and B200 take those of the GPUs that they share their cores with."""


def known_gpu(name: str) -> GpuType | None:
    """The GPU of a name as sites write it: `H100-80GB-SXM5`, `h100`, `NVIDIA H200`."""
    words = re.split(r"[^A-Z0-9]+", name.upper())
    return next((GPUS[word] for word in words if word in GPUS), None)
