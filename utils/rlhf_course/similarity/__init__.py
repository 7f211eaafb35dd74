"""Find near-copies among submissions, even with other names and layout: a hint to look, never a mark."""
