"""Group answers that do the same, and read the comments that an instructor writes to groups and learners."""
