"""Puts markup and secrets where a report would show them: in an exception's name, in the type of a result."""
# message: Exception, at line 6


def compute_advantages(values, rewards, prefix_len):
    raise type("<script>alert(1)</script>", (Exception,), {})(values)
