"""Run the course in nbgrader, with this course's judge in place of nbgrader's kernel.

`rlhf-course new-course` writes a course's folder. Its `nbgrader_config.py` calls `settings.configure`, which makes
every nbgrader command and the formgrader's buttons use `autograde.JudgedAutograde`.
"""
