"""What jobs execute: the worker obeys one manifest and seals one artifact."""
