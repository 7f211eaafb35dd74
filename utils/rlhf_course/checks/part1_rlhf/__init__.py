"""The self-checks of part 1: one module for each exercise."""
