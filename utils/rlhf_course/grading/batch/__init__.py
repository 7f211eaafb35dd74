"""Grade many submissions with a cache of results, in a pool of processes or on a Dask cluster."""
