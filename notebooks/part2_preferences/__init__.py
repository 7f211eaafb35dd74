"""The exercises of part 2, one file each: `from part2_preferences import dpo_loss`."""

from rlhf_course.exercises import serve_exercises

serve_exercises(__name__)
