"""Hold the drivers of part 2: one module for each exercise that is not a plain function."""
