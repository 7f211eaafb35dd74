"""Grade submissions: a judge runs the hidden tests on answers that run in a sandbox."""
