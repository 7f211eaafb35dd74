"""The self-checks of part 3: one module for each exercise."""
