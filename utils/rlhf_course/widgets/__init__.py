"""What there is to see: three explorers, the training dashboard, the gallery of reward hacking and the progress page.

Each widget's numbers come from `numbers/`, its picture from `drawing.py`, and `showing.py` puts both on the page.
"""
