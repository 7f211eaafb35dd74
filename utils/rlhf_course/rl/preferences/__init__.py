"""Learn from preferences: pairs of completions, their labels, and what is trained on them."""
