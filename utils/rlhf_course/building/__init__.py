"""Build `notebooks/`, the stubs and the data of the checks from `solutions/` and the bank, and add exercises."""
