"""What a plan may take, before it fails."""

from compiler.schema.base import NonNegative, Record


class Budget(Record):
    """Most that the stages which will run may take together; what is reused is free."""

    gpu_hours: NonNegative | None = None
    """GPUs held, times hours."""
    cost: NonNegative | None = None
    """In the currency of the cluster file."""
    wall_hours: NonNegative | None = None
    """From the first stage's start to the last one's end, without waiting for nodes."""
