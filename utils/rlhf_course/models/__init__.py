"""Hold the models that ship with the course: the embedded language model and the embedded sentiment classifier."""
