"""Provide the given code of part 1: settings, models, sampling, memory, given terms, schedule and base classes."""
