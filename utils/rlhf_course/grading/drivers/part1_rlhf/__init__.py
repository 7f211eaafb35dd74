"""Hold the drivers of part 1: one module for each exercise that is no plain function."""
