"""A folder of `write_folder` goes to a hub, by the package of that hub and the user's own token, which is only handed on."""

import re
from collections.abc import Sequence
from pathlib import Path

from larqnets.environment import HF_ENDPOINT
from larqnets.errors import LarqnetsError, excerpt, first_line
from larqnets.extras import missing, pip_line

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?/[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")


def check_upload(repository: str) -> None:
    """Raise LarqnetsError unless a repository can be called so, the package is there, and the user has a token."""
    if _NAME.fullmatch(repository) is None:
        raise LarqnetsError(f"'{excerpt(repository, 80)}' is no name of a model on a hub. Write USER/NAME.")
    if missing("hub"):
        raise LarqnetsError(
            f"An upload needs huggingface_hub, which is not installed. Install it: {pip_line('hub')}; or leave --upload out and "
            "take the folder there by hand."
        )
    from huggingface_hub import get_token

    if get_token() is None:
        raise LarqnetsError(
            "There is no token for the hub. Log in with `hf auth login`, or set HF_TOKEN to a token that may write."
        )


def upload(folder: Path, names: Sequence[str], repository: str, *, progress: bool = True) -> str:
    """Put these files of a folder into a model repository, which is made where there is none; returns its address.

    Raises LarqnetsError when the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi, utils

    if not progress:
        utils.disable_progress_bars()
    api = HfApi(endpoint=HF_ENDPOINT.read(), library_name="larqnets")
    try:
        address = api.create_repo(repository, repo_type="model", exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            repo_type="model",
            folder_path=folder,
            allow_patterns=list(names),
            commit_message="larqnets publish",
        )
    except Exception as error:  # the package and the HTTP library below it have dozens of kinds
        raise LarqnetsError(
            f"The hub did not take {repository}: {excerpt(first_line(error))}. The folder is written: {folder}. See that the "
            "name is yours and your token may write, and give the command again."
        ) from error
    return str(address)
