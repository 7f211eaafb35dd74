"""Read submissions from folders, archives and notebooks, and find the text that answers each exercise."""
