"""Pictures of a stage graph as text: for terminals and for documents."""
