"""Near-copies among submissions, whatever was renamed or laid out anew: a hint to look, never a mark."""
