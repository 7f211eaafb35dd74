"""Get local copies of repositories on the Hugging Face hub."""

import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from rlhf_course.errors import CourseError

_FILES = ["*.json", "*.txt", "*.model"]
# Weight files, the preferred format first. Neither format runs code of the repository when it is loaded.
_WEIGHTS = ["*.safetensors", "pytorch_model*.bin"]
# Seconds to wait for the hub's first response.
REQUEST_TIMEOUT = 3.0


def hub_folder(repository: str, subject: str, advice: str) -> Path:
    """Return the folder with a repository's files, which are downloaded unless they are cached.

    Args:
        repository: The hub's id, "owner/name".
        subject: What the error message starts with, e.g. "base_model 'gpt2-small'".
        advice: What the error message recommends instead.

    Raises:
        CourseError: There is no such repository, or it is not cached and the hub does not respond.
    """
    try:
        cached = Path(snapshot_download(repository, local_files_only=True, allow_patterns=_FILES + _WEIGHTS))
        if weights_among([file.name for file in cached.iterdir()]):
            return cached
    except HFValidationError as error:
        raise CourseError(f"{subject} is neither a known name, nor a folder, nor a hub id; {advice}") from error
    except LocalEntryNotFoundError:
        pass  # it is not cached
    try:
        info = HfApi().model_info(repository, timeout=REQUEST_TIMEOUT)
        weights = weights_among([file.rfilename for file in info.siblings or []])
        return Path(snapshot_download(repository, allow_patterns=_FILES + weights))
    except RepositoryNotFoundError as error:
        raise CourseError(f"{subject}: the hub has no public repository {repository!r}; {advice}") from error
    except Exception as error:  # the client raises its HTTP library's errors, which differ between versions
        raise CourseError(
            f"{subject}: {repository!r} is not in the local cache, and the hub did not respond "
            f"({type(error).__name__}); {advice}"
        ) from error


def weights_among(names: list[str]) -> list[str]:
    """Return the weight files among a repository's files, all of the first format that it has."""
    matches = (fnmatch.filter(names, pattern) for pattern in _WEIGHTS)
    return next((files for files in matches if files), [])
