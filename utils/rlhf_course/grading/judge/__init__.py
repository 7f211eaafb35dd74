"""Run the hidden tests on one submission."""
