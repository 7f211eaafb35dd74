"""Hold the drivers of part 3: one module for each exercise that is not a plain function."""
