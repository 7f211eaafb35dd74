"""Local copies of what lives on the Hugging Face hub."""

import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from rlhf_course.errors import CourseError

_FILES = ["*.json", "*.txt", "*.model"]
# Weights, the format that is preferred first. Either is read without running code that came with it.
_WEIGHTS = ["*.safetensors", "pytorch_model*.bin"]
# Seconds to wait for the hub's first answer before saying that it cannot be reached.
PATIENCE = 3.0


def hub_folder(repository: str, what: str, advice: str) -> Path:
    """The folder with a repository's files: the cached one, or a fresh download.

    Args:
        repository: the hub's id, "owner/name".
        what: how a message names what was asked for, e.g. "base_model 'gpt2-small'".
        advice: what a message says to do instead.

    Raises:
        CourseError: no such repository, or it is not cached and the hub does not answer.
    """
    try:
        cached = Path(snapshot_download(repository, local_files_only=True, allow_patterns=_FILES + _WEIGHTS))
        if weights_among([file.name for file in cached.iterdir()]):
            return cached
    except HFValidationError as error:
        raise CourseError(f"{what} is neither a known name, nor a folder, nor a hub id; {advice}") from error
    except LocalEntryNotFoundError:
        pass  # not cached: ask the hub
    try:
        there = HfApi().model_info(repository, timeout=PATIENCE)
        weights = weights_among([file.rfilename for file in there.siblings or []])
        return Path(snapshot_download(repository, allow_patterns=_FILES + weights))
    except RepositoryNotFoundError as error:
        raise CourseError(f"{what}: the hub has no public repository {repository!r}; {advice}") from error
    except Exception as error:  # the hub's client passes its transport's errors on, which differ between versions
        raise CourseError(
            f"{what}: {repository!r} is not in the local cache, and the hub did not answer "
            f"({type(error).__name__}); {advice}"
        ) from error


def weights_among(names: list[str]) -> list[str]:
    """The files, among a repository's, that hold its weights: all of the format that is preferred, or none."""
    kinds = (fnmatch.filter(names, pattern) for pattern in _WEIGHTS)
    return next((found for found in kinds if found), [])
