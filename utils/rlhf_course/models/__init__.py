"""Models that ship with the course: the embedded language model, the embedded sentiment classifier, and their recipe."""
