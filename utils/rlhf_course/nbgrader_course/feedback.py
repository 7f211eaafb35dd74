"""Let `nbgrader generate_feedback` write pages on which no script of a learner can run."""

import html
import re
import secrets
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from nbgrader.converters import GenerateFeedback
from traitlets import List

from rlhf_course.course import BY_NAME
from rlhf_course.grading.comments.comments import Comment, FolderComments, feedback_lines
from rlhf_course.nbgrader_course.late import UpdateLatePenalty, course_of, readable
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

    def start(self) -> None:
        """Write the pages. Wrong settings or comments are refused before `--force` deletes earlier pages."""
        with readable(self):
            course_of(self)
            self._warn_of(self._comments)
        super().start()

    def write_single_notebook(self, output: str, resources: Any) -> None:
        """Write the page of one notebook; see the class."""
        ids = resources["nbgrader"]
        comments = shown_comments(self._comments.to_learner(ids["student"]), ids["notebook"])
        super().write_single_notebook(with_comments(with_policy(output), comments), resources)

    @cached_property
    def _comments(self) -> FolderComments:
        """The comments in the course's folder."""
        return FolderComments(Path(self.coursedir.root))

    def _warn_of(self, comments: FolderComments) -> None:
        """Log the comments that reach nobody."""
        for message in comments.unmatched:
            self.log.warning("a comment reaches nobody: %s", message)


def shown_comments(comments: Sequence[Comment], notebook: str) -> list[str]:
    """Return the comments that a notebook's page shows: those on its exercises, and those on none."""
    return feedback_lines(
        [
            comment
            for comment in comments
            if not comment.exercise or (comment.exercise in BY_NAME and BY_NAME[comment.exercise].notebook == notebook)
        ]
    )


def with_comments(page: str, comments: Sequence[str]) -> str:
    """Return a page that shows comments, as plain text, at the top of its body."""
    if not comments:
        return page
    start, tag, rest = page.partition("<body")
    attributes, end, body = rest.partition(">")
    style = "white-space: pre-wrap; border-left: 0.3em solid; margin: 1em; padding-left: 0.8em"
    items = "".join(f'<p style="{style}">{html.escape(comment)}</p>' for comment in comments)
    return "".join((start, tag, attributes, end, "\n", items, body))


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
