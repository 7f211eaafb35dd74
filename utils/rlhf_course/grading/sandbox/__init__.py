"""Run learners' code in a sandbox: isolation backends, the zygote, the worker, the protocol, and proxies of answers."""
