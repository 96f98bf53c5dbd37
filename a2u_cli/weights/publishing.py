"""Weights as a model repository, a page as a Space: whole folders, and their way to the Hub."""

import filecmp
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

from ..errors import A2UError, WeightsError, listed
from . import registry
from .cache import NAME, reason, sha256_of
from .card import DTYPES, follow_links, model_card, space_card, write_text
from .download import PATIENCE, HubFile, within
from .header import read_header, require_released

CARD, CONFIG, LICENCE = "README.md", "config.json", "LICENSE"
UNSTATED = ("", "unknown", "unstated")  # what import and training write where nobody said
SOMEWHERE = "OWNER/NAME"  # until it is said where the folder goes
Kind = Literal["model", "space"]  # as the Hub's library says them
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A file of the folder, as it would be uploaded."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Made:
    """A folder, whole, and the links of the card that lead to nothing in it."""

    folder: Path
    parts: tuple[Part, ...]
    unlinked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repository:
    """What a repository on the Hub holds; a new one has no commit."""

    name: str
    kind: Kind = "model"
    commit: str | None = None
    files: tuple[str, ...] = ()


def require_name(repository: str) -> None:
    """Raise A2UError where a repository can have no such name, or nobody could get it by it."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, and unmarked
        validate_repo_id,
    )

    try:
        validate_repo_id(repository)
        fits = HubFile.parse(f"hf://{repository}").repository == repository
    except (ValueError, WeightsError):  # the Hub's own rules, and those of our addresses
        fits = False
    if not fits:
        raise A2UError(
            f"{repository!r} is no name of a repository; expected OWNER/NAME of letters, digits, "
            "'.', '_' and '-', at most 96 of them in NAME, such as me/my-weights"
        )


def require_free(weights: str, licence: str) -> None:
    """Raise WeightsError where a licence forbids to hand weights on, or nobody stated one."""
    for entry in registry.REGISTRY.values():
        if entry.terms and entry.licence == licence:
            raise WeightsError(
                f"{weights} are not ours to publish (licence {licence}): {entry.terms} Whoever "
                "wants them gets them from the authors: a2u weights get"
            )
    if licence in UNSTATED:
        raise WeightsError(
            f"{weights} state no licence ({licence or 'nothing'}), expected one that allows to "
            "hand them on; a2u train writes it with --licence"
        )


def find(weights: str) -> Path:
    """Give the file of weights that may be published, checked strictly.

    Raises WeightsError where there is none, it is damaged, another than its name promises, or its
    licence forbids it.
    """
    from .format import load_model

    if entry := registry.REGISTRY.get(weights):
        require_free(weights, entry.licence)
    path = registry.locate(weights)
    header = read_header(path)
    require_free(weights, header.licence)
    require_released(path, header, purpose="a2u weights publish")
    load_model(path)
    if registry.describe(weights).pin == "differs":
        raise WeightsError(f"{path} is not the known {weights}; get it anew with --force")
    return path


def make_folder(
    weights: Path,
    folder: Path,
    *,
    name: str,
    repository: str | None = None,
    more: Mapping[Path, str] | None = None,
) -> Made:
    """Make a model repository's whole folder of a weights file, whose bytes stay as they are.

    `name` is the model's; `more` are further files, with what the card says of each. A folder that
    is there already is kept where it holds the same, and never changed.

    Raises WeightsError where something cannot be read or written, A2UError where the folder holds
    anything else.
    """
    more = more or {}
    _require_names([path.name for path in more])
    with _taking_place(folder) as new:
        shutil.copyfile(weights, new / HubFile.file)
        header, digest = read_header(new / HubFile.file), sha256_of(new / HubFile.file)
        said = {HubFile.file: f"the weights, {DTYPES.get(header.dtype)}, sha256 {digest}"}
        for path, words in more.items():
            shutil.copyfile(path, new / path.name)
            said[path.name] = words
        text = write_text(header, name=name)
        beside: list[Path] = []
        left: list[str] = []
        if digest == registry.REGISTRY[registry.DEFAULT].sha256 and (shipped := _shipped_card()):
            name = registry.DEFAULT  # whatever the file is called
            text, beside, left = follow_links(shipped.read_text(encoding="utf-8"), shipped.parent)
        for path in beside:
            shutil.copyfile(path, new / path.name)
        card = model_card(header, text, name=name, repository=repository or SOMEWHERE, files=said)
        (new / CARD).write_bytes(card.encode(errors="backslashreplace"))
        (new / CONFIG).write_text(json.dumps({"shared": header.variant == "share"}, indent=2))
        (new / LICENCE).write_bytes(_licence(header.licence).encode(errors="backslashreplace"))
    return Made(folder, _parts(folder), tuple(left))


def make_space(
    page: Path, folder: Path, *, title: str, licence: str, models: Iterable[str] = ()
) -> Made:
    """Make a Space's whole folder: a page's files, and the card that has the Hub serve them.

    `models` are the repositories, `owner/name`, that the page's network lies in. A folder that is
    there already is kept where it holds the same, and never changed. Raises as `make_folder`.
    """
    with _taking_place(folder) as new:
        shutil.copytree(page, new, dirs_exist_ok=True)
        (new / CARD).write_text(space_card(title, licence=licence, models=models), encoding="utf-8")
    return Made(folder, _parts(folder))


def _parts(folder: Path) -> tuple[Part, ...]:
    files = _files(folder).items()
    return tuple(Part(name, path.stat().st_size, sha256_of(path)) for name, path in files)


def _require_names(more: list[str]) -> None:
    """Raise A2UError where two files would have one name, or one that a card cannot show."""
    names = [CARD, CONFIG, LICENCE, HubFile.file, *more]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise A2UError(f"two files would be called {listed(twice)}; rename one")
    if unfit := [name for name in names if not NAME.fullmatch(name)]:
        raise A2UError(f"{unfit[0]!r} is no name on the Hub; use letters, digits, '.', '_' and '-'")


def _shipped_card() -> Path | None:
    """Find the card that was written for the default weights."""
    cards = (folder / CARD for folder in registry.SHIPPED_FOLDERS)
    return next((card for card in cards if card.is_file()), None)


def _licence(licence: str) -> str:
    """Give the text of a licence: that of this package, or the name that the weights state."""
    if licence.lower() != "apache-2.0":
        return f"The licence of these weights, as their own header states it: {licence}\n"
    try:
        text = metadata.distribution("a2u-cli").read_text(f"licenses/{LICENCE}")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        text = None
    return text or (Path(__file__).parents[2] / LICENCE).read_text(encoding="utf-8")


@contextmanager
def _taking_place(folder: Path) -> Iterator[Path]:
    """Hand out an empty folder that takes another's name when it is whole, or changes nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".a2u-") as place:
            new = Path(place) / "new"
            new.mkdir()
            yield new
            if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
                new.replace(folder)
                return
            _require_same(new, folder)
    except OSError as error:
        raise WeightsError(f"cannot write {folder} ({reason(error)}); nothing was made") from error


def _require_same(new: Path, folder: Path) -> None:
    """Raise A2UError where a folder holds anything but what would be written."""
    if not folder.is_dir():
        raise A2UError(f"{folder} is a file, expected a folder; choose another with --folder")
    here, there = _files(new), _files(folder)
    others = sorted(here.keys() ^ there.keys()) + sorted(
        name
        for name in here.keys() & there.keys()
        if not filecmp.cmp(here[name], there[name], shallow=False)
    )
    if others:
        raise A2UError(
            f"{folder} holds something else than would be written ({listed(others)}); choose "
            "another with --folder, or move it away"
        )


def _files(folder: Path) -> dict[str, Path]:
    there = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {str(path.relative_to(folder)): path for path in there}


def look(repository: str, kind: Kind = "model") -> Repository:
    """Ask the Hub what a repository holds, nothing where it is not there.

    Raises WeightsError where the Hub cannot be asked.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> Repository:
        try:
            hub = HfApi()
            ask_for = hub.space_info if kind == "space" else hub.model_info
            told = ask_for(repository)
        except RepositoryNotFoundError:
            return Repository(repository, kind)
        files = sorted(file.rfilename for file in told.siblings or ())
        return Repository(repository, kind, told.sha, tuple(files))

    return _asked("look into", repository, lambda: within(PATIENCE, ask))


def upload(made: Made, to: Repository) -> str:
    """Upload a folder in one commit on top of what was seen there, and give its address.

    A repository that is not there is made, public. Token, mirrors and proxies are found as the
    Hub's library finds them. Raises WeightsError where the Hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    def send() -> str:
        hub = HfApi()
        if to.commit is None:
            sdk = "static" if to.kind == "space" else None
            within(
                PATIENCE,
                lambda: hub.create_repo(to.name, repo_type=to.kind, space_sdk=sdk, exist_ok=True),
            )
        commit = hub.upload_folder(
            repo_id=to.name,
            repo_type=to.kind,
            folder_path=made.folder,
            commit_message="Upload with a2u weights publish",
            parent_commit=to.commit,
        )
        return str(commit.commit_url)

    return _asked("publish to", to.name, send)


def _asked(deed: str, repository: str, call: Callable[[], T]) -> T:
    """Say whatever the Hub's library raises in one line, and never a token."""
    try:
        return call()
    except Exception as error:  # of the HTTP library, whose kinds differ by version
        cause = error
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            cause = error.__cause__  # of one file's upload, which by itself says nothing
        raise WeightsError(f"cannot {deed} {repository} ({_words(cause)})") from error


def _words(error: Exception) -> str:
    """Say what the Hub, or the way there, answers; a server may say the token again."""
    from huggingface_hub import get_token

    code = getattr(getattr(error, "response", None), "status_code", None)
    if code in (401, 403):
        return (
            f"the Hub answers {code}: no token, or one that may not; run hf auth login, or set "
            "HF_TOKEN to one that may write there"
        )
    if code == 412:
        return "it was changed meanwhile; run this again"
    told = getattr(error, "server_message", None)
    text = f"the Hub answers {code}: {told}" if told else str(error)
    if token := get_token():
        text = text.replace(token, "***")
    return reason(text or type(error).__name__)
