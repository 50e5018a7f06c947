"""An OpenAI-compatible server of one in-process policy with continuous batching: `rung serve`."""
