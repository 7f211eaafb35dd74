"""Hold the drivers of part 1: one module for each exercise that is not a plain function."""
