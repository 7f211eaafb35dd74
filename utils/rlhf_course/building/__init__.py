"""`rlhf-course build`: from the author's desk, `solutions/`, to the learner's desk, `notebooks/`, and to the checks' data."""
