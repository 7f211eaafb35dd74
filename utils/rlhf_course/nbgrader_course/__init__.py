"""The course in nbgrader: its release, exchange, gradebook and formgrader, with this course's judge in place of its kernel.

`rlhf-course new-course` writes a course's folder. Its `nbgrader_config.py` calls `settings.configure`, so that every nbgrader
command and the formgrader's buttons judge with `autograde.JudgedAutograde`.
"""
