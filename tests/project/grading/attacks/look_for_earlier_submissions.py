"""Looks for traces of earlier submissions: files, shared memory, changed modules; and leaves such traces itself."""
# message: LookupError

import glob
import os
import pathlib
import sys

import torch

MARK = "left-by-an-answer-"
MINE = MARK + os.urandom(8).hex()


def compute_advantages(values, rewards, prefix_len):
    for folder in (".", "/tmp", "/dev/shm", os.path.expanduser("~"), os.path.dirname(torch.__file__)):
        if set(glob.glob(os.path.join(folder, MARK + "*"))) - {os.path.join(folder, MINE)}:
            os._exit(19)
        try:
            pathlib.Path(folder, MINE).write_text("x")
        except OSError:
            continue
    if getattr(torch, "_left_by_an_answer", MINE) != MINE:
        os._exit(19)
    torch._left_by_an_answer = MINE
    sys.modules["left_by_an_answer"] = torch
    raise LookupError("nobody was here")
