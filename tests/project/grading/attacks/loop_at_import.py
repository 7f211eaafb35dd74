"""Never finishes importing."""
# slow: waits for its deadline
# told: no result within 1 second
# limits: timeout=1

while True:
    pass
