"""The spec language: frozen, closed pydantic records, nothing else."""
