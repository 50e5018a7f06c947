"""What stages do: `run(stage, ctx) -> facts`, one file per kind, called on every rank, resumed by another call."""
