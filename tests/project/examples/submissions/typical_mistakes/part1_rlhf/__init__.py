"""The exercises of part 1, one file each: `from part1_rlhf import compute_advantages`."""

from rlhf_course.exercises import serve_exercises

serve_exercises(__name__)
