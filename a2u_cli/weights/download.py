"""Fetch weights from the Hugging Face Hub and Google Drive, and check what came."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import WeightsError
from .cache import SUFFIX, cache_folder, reason, sha256_of


@dataclass(frozen=True)
class HubFile:
    """One file in a model repository on the Hugging Face Hub."""

    repository: str
    revision: str = "main"
    file: str = "model.safetensors"

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read `hf://owner/repo[@revision][/file]`.

        Raises WeightsError for any other form, a `..`, or a file that is not safetensors.
        """
        part = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
        form = rf"hf://({part}/{part})(?:@({part}))?(?:/({part}(?:/{part})*\{SUFFIX}))?"
        match = re.fullmatch(form, address)
        if not match or ".." in address:
            raise WeightsError(
                f"{address!r} is no address on the Hub; expected "
                f"hf://owner/repo[@revision][/file], the file ending in {SUFFIX}"
            )
        return cls(match[1], match[2] or cls.revision, match[3] or cls.file)


def download(file: HubFile, *, force: bool = False) -> Path:
    """Download a file from the Hub into the Hub's own cache and give its path.

    Offline mode, mirrors, tokens and that cache follow huggingface_hub's environment variables;
    what the Hub stores by sha256 is checked against it. Raises WeightsError with the address, the
    folder and the command that finish the job by hand.
    """
    import huggingface_hub as hub  # reads HF_* when imported, so as late as can be

    address = hub.hf_hub_url(file.repository, file.file, revision=file.revision)
    etag, failure = None, None
    try:
        try:  # fails at once, where a download without a server retries for half a minute
            etag = hub.get_hf_file_metadata(address).etag
        except Exception as error:
            failure = error
        path = hub.hf_hub_download(
            file.repository,
            file.file,
            revision=file.revision,
            force_download=force and failure is None,
            local_files_only=failure is not None,
        )
    except Exception as error:  # the Hub's HTTP library, and so its errors, differ by version
        raise no_download(file.repository.split("/")[1], address, failure or error) from error
    if re.fullmatch("[0-9a-f]{64}", etag or "") and sha256_of(Path(path)) != etag:
        raise WeightsError(
            f"{path} differs from what the Hub promised (sha256 {etag}); "
            f"delete it, or run a2u weights get with --force"
        )
    return Path(path)


def no_download(name: str, address: str, cause: Exception | str) -> WeightsError:
    """Make the error for a failed download: why, the address, the folder, the import command."""
    return WeightsError(
        f"cannot download {name} ({reason(cause)}); fetch {address} by other means, then run "
        f"'a2u weights import FILE --name {name}', which puts it into {cache_folder()}"
    )
