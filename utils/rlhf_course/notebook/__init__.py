"""The learner's machinery: `%%exercise`, `check`, `hint`, `progress`, `reset`, `load`, predictions, and the gate to training.

Importing this module inside IPython makes the cell magic `%%exercise` known; elsewhere it does nothing.
"""

from rlhf_course.notebook.magic import register

register()
