"""Self-checks of part 1, one module an exercise."""
