"""Let `nbgrader generate_feedback` write pages on which no script of a learner can run."""

import re
import secrets
from typing import Any

from nbgrader.converters import GenerateFeedback
from traitlets import List

from rlhf_course.nbgrader_course.late import UpdateLatePenalty
from rlhf_course.nbgrader_course.preprocessors import CutHiddenTests

_MATHJAX = "https://cdnjs.cloudflare.com/ajax/libs/mathjax/2.7.7/"
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}' {mathjax}; style-src 'unsafe-inline' {mathjax}; img-src data:; "
    "font-src data: {mathjax}; base-uri 'none'; form-action 'none'"
)
_HEAD = """<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<script nonce="{nonce}">
window.MathJax = {{
  tex2jax: {{inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]], processEscapes: true, processEnvironments: true}},
  TeX: {{equationNumbers: {{autoNumber: "AMS", useLabelIds: true}}}},
  messageStyle: "none", CommonHTML: {{linebreaks: {{automatic: true}}}}
}};
</script>
<script nonce="{nonce}" src="{mathjax}MathJax.js?config=TeX-AMS_CHTML-full,Safe"></script>
"""


class CleanFeedback(GenerateFeedback):
    """nbgrader's feedback without the sources of hidden tests, and with a content security policy.

    The page runs MathJax, and no other script. `HTMLExporter` cleans the notebook before this; see
    `settings.configure`.
    """

    preprocessors = List([UpdateLatePenalty, CutHiddenTests, *GenerateFeedback.preprocessors.default()]).tag(
        config=True
    )

    def write_single_notebook(self, output: str, resources: Any) -> None:
        """Write the page of one notebook; see the class."""
        super().write_single_notebook(with_policy(output), resources)


def with_policy(page: str) -> str:
    """Return a page whose head has a content security policy, and MathJax in place of the scripts that were there.

    The policy allows the two scripts that bear a number which is drawn for this page.
    """
    head, body_tag, body = page.partition("<body")
    head = re.sub(r"<script\b.*?</script>", "", head, flags=re.DOTALL | re.IGNORECASE)
    nonce = secrets.token_urlsafe(16)
    policy = _POLICY.format(nonce=nonce, mathjax=_MATHJAX)
    added = _HEAD.format(policy=policy, nonce=nonce, mathjax=_MATHJAX)
    start, tag, rest = head.partition("<head>")
    return "".join((start, tag, "\n", added, rest, body_tag, body))
