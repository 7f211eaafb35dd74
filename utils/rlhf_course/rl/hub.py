"""Local copies of what lives on the Hugging Face hub."""

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from rlhf_course.errors import CourseError

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
# Seconds to wait for the hub's first answer before saying that it cannot be reached.
_PATIENCE = 3.0


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
        cached = Path(snapshot_download(repository, local_files_only=True, allow_patterns=_FILES))
        if any(cached.glob("*.safetensors")):
            return cached
    except HFValidationError as error:
        raise CourseError(f"{what} is neither a known name, nor a folder, nor a hub id; {advice}") from error
    except LocalEntryNotFoundError:
        pass  # not cached: ask the hub
    try:
        HfApi().model_info(repository, timeout=_PATIENCE)
        return Path(snapshot_download(repository, allow_patterns=_FILES))
    except RepositoryNotFoundError as error:
        raise CourseError(f"{what}: the hub has no public repository {repository!r}; {advice}") from error
    except Exception as error:  # the hub's client passes its transport's errors on, which differ between versions
        raise CourseError(
            f"{what}: {repository!r} is not in the local cache, and the hub did not answer "
            f"({type(error).__name__}); {advice}"
        ) from error
