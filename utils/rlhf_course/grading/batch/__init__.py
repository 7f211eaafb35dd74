"""Grade many submissions: a cache of results, a pool of processes, a Dask cluster."""
