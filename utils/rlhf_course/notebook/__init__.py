"""The learner's tools: `%%exercise`, `check`, `hint`, `progress`, `reset`, `load`, predictions, the gate.

Importing this module inside IPython makes the cell magic `%%exercise` known; elsewhere it does nothing.
"""

from rlhf_course.notebook.magic import register

register()
