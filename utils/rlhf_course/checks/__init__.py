"""The self-checks: one module an exercise, with its visible cases, its tests and its hints.

`core` holds what they share, `tiny` the models that they try things on, and `data/` what `rlhf-course build` made of
the reference answers and of the bank of known mistakes: outputs on the visible cases, and no code.
"""
