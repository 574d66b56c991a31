"""Stands in for the trainer where only the handling of its process is tested: publishes its base once more."""
