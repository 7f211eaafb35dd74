"""Read what learners hand in: archives, folders and notebooks, and which text answers which exercise."""
