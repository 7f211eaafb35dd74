"""The exercises of part 3, one file each: `from part3_policy_gradients import compute_gae`."""

from rlhf_course.exercises import serve_exercises

serve_exercises(__name__)
