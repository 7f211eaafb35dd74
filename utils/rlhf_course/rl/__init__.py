"""What learners are given: arguments, models, sampling, memory, the objective's given terms, schedule, base classes."""
