"""Run learners' code in a sandbox: the backends that isolate it, the processes, the protocol between them, and proxies."""
