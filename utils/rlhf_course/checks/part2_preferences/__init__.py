"""The self-checks of part 2: one module for each exercise."""
