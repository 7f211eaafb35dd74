"""Learn from rewards that can be checked: tasks, sampling of texts of different lengths, and their trainers."""
