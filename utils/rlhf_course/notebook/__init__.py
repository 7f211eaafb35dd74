"""Provide the learner's tools: `%%exercise`, `check`, `hint`, `progress`, `reset`, `load`, predictions and the gate.

Importing this package inside IPython registers the cell magic `%%exercise`; elsewhere it registers nothing.
"""

from rlhf_course.notebook.magic import register

register()
