"""Provide the widgets: three explorers, the training dashboard, the gallery of reward hacking and the progress page.

`numbers/` computes what a widget shows, `drawing.py` draws its pictures, and `output.py` displays it.
"""
