"""Never finishes importing."""
# slow: waits for its deadline
# message: no result within 1 second
# limits: timeout=1

while True:
    pass
