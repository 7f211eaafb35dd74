"""The self-checks: one module for each exercise, with its visible cases, tests and hints.

`core` holds the classes and functions that they share, `tiny` the small models that they run on. `rlhf-course build`
writes `data/`: the outputs of the reference answers and of the known mistakes on the visible cases, without any code.
"""
