"""Find near-copies among submissions, even with other names and layout, for a person to judge."""
