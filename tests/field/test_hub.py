# ruff: noqa: F811 - fixtures that are imported
"""Weights from a lying hub, and from strangers: names, sizes, kinds of numbers, reserved names."""

import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from conftest import sane_network
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors
from test_translation import authors_state
from test_weights_hub import COMMIT, Hub, hub  # noqa: F401

from a2u_cli import weights
from a2u_cli.errors import WeightsError
from a2u_cli.weights import download as downloads
from a2u_cli.weights import registry
from a2u_cli.weights.cache import sha256_of
from a2u_cli.weights.download import HubFile, download
from a2u_cli.weights.format import fill, save_weights, stored_tensors
from a2u_cli.weights.hub import HubMattingNetwork

pytestmark = pytest.mark.usefixtures("environment")
FILE = HubFile("me/mats")


@pytest.fixture
def fetch(
    hub: Hub,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Path]]:
    """Download weights from a hub of this machine into a cache in `tmp_path`."""
    hub.files["me/mats/model.safetensors"] = weights.read_bytes()
    address = f"{hub.address}/me/mats/resolve/main/model.safetensors"
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *_, **__: address)
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield lambda **options: download(FILE, cache=tmp_path / "a" / "b" / "cache", **options)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


# What a server says


def test_an_honest_hub_is_believed(fetch: Callable[..., Path], weights: Path) -> None:
    path = fetch()
    assert path.read_bytes() == weights.read_bytes()
    assert path.parts[-4:-1] == ("models--me--mats", "snapshots", COMMIT)


@pytest.mark.parametrize("etag", ["../../../../x", "/tmp/x", "..", ".", "a/b", "a b", "x" * 300])
def test_an_etag_names_nothing_outside_the_cache(
    fetch: Callable[..., Path],
    hub: Hub,
    tmp_path: Path,
    etag: str,
) -> None:
    hub.etag = etag
    with pytest.raises(WeightsError, match=r"cannot be trusted: it gives .* expected an ETag"):
        fetch()
    assert files(tmp_path) == []
    assert not hub.asked("GET")


@pytest.mark.parametrize(
    "lie",
    [
        {"commit_hash": "../../../../x"},
        {"commit_hash": "main"},
        {"commit_hash": None},
        {"etag": None},
        {"etag": "\x1b]0;owned\x07"},
        {"size": None},
        {"size": -1},
        {"size": 10**15},
    ],
    ids=str,
)
def test_every_name_and_size_that_a_server_chooses_is_checked(
    fetch: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lie: dict[str, object],
) -> None:
    facts = {"etag": "0" * 64, "commit_hash": COMMIT, "size": 100} | lie
    monkeypatch.setattr(
        huggingface_hub, "get_hf_file_metadata", lambda *_, **__: SimpleNamespace(**facts)
    )
    with pytest.raises(WeightsError, match="cannot be trusted"):
        fetch()
    assert files(tmp_path) == []


def test_a_hub_that_sends_less_than_it_announced_is_asked_five_times(
    fetch: Callable[..., Path],
    hub: Hub,
    tmp_path: Path,
) -> None:
    hub.cuts = 10**9
    with pytest.raises(WeightsError, match=r"bytes came in 5 requests") as caught:
        fetch()
    assert "a2u weights import FILE --name mats" in str(caught.value)
    assert len(hub.asked("GET")) == 5
    assert len(begun(tmp_path)) == 1


def begun(folder: Path) -> list[Path]:
    """List what downloads have left to go on with; nothing else lies there."""
    left = files(folder)
    assert all(path.suffix == ".part" and path.name.startswith(".") for path in left)
    return left


@pytest.mark.parametrize("more", ["", "416", "elsewhere", "too long", "whole", "spoilt"])
def test_the_next_run_goes_on_where_a_download_broke_off(
    fetch: Callable[..., Path],
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: str,
) -> None:
    data = hub.files["me/mats/model.safetensors"] = bytes(range(200))
    hub.cuts = 10**9
    with pytest.raises(WeightsError, match="came in 5 requests"):
        fetch()
    (part,) = begun(tmp_path)
    assert part.read_bytes() == data[: len(data) * 3 // 4]
    if more in ("too long", "whole", "spoilt"):
        part.write_bytes({"too long": data + b"x", "whole": data, "spoilt": bytes(99)}[more])
    hub.cuts, hub.of_part = 0, more
    hub.requests.clear()
    if more == "spoilt":  # the disk's doing: told once, and never again
        with pytest.raises(WeightsError, match="differs from what the Hub promised"):
            fetch()
        assert files(tmp_path) == []
    assert fetch().read_bytes() == data
    assert not list(tmp_path.rglob("*.part"))
    asked = [headers.get("range") for headers in hub.asked("GET")]
    again = [f"bytes={len(data) * 3 // 4}-", "bytes=0-"]
    wanted = {"": again[:1], "too long": again[1:], "whole": [], "spoilt": ["bytes=99-", again[1]]}
    assert asked == wanted.get(more, again)


def test_downloads_of_the_same_file_wait_for_each_other(
    fetch: Callable[..., Path], hub: Hub, tmp_path: Path
) -> None:
    hub.files["me/mats/model.safetensors"] = bytes(range(200))
    hub.drips, hub.pause = "body", 0.001
    with ThreadPoolExecutor(4) as pool:
        paths = {done.result() for done in [pool.submit(fetch) for _ in range(4)]}
    assert [path.read_bytes() for path in paths] == [bytes(range(200))]
    assert {path.name for path in files(tmp_path)} == {"main", "model.safetensors"}


@pytest.mark.parametrize(
    ("drips", "said"),
    [
        ("HEAD", "no whole answer came in 0.2 seconds"),
        ("GET", "no whole answer came in 0.2 seconds"),
        ("body", "of 3000 bytes came in 5 requests, less than 10000 bytes a second came"),
        ("silence", "of 3000 bytes came in 5 requests"),
    ],
)
def test_a_hub_that_hardly_sends_anything_is_given_up(
    fetch: Callable[..., Path],
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drips: str,
    said: str,
) -> None:
    hub.files["me/mats/model.safetensors"] = bytes(3000)
    monkeypatch.setattr(downloads, "PATIENCE", 0.2)
    monkeypatch.setattr(downloads, "SLOWEST", 10_000)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.drips = drips
    if drips == "silence":
        hub.drips, hub.pause = "body", 0.5
    with pytest.raises(WeightsError, match=said):
        fetch()
    asked = [headers.get("range") for headers in hub.asked("GET")]
    if drips == "body":
        assert len(set(asked)) == 5  # each goes on where the last one was given up
    assert len(begun(tmp_path)) == (drips in ("body", "silence"))


def test_a_slow_honest_link_is_waited_for(
    fetch: Callable[..., Path], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files["me/mats/model.safetensors"] = bytes(range(200))
    monkeypatch.setattr(downloads, "PATIENCE", 0.05)
    monkeypatch.setattr(downloads, "SLOWEST", 20)
    hub.drips, hub.pause = "body", 0.002
    assert fetch().read_bytes() == bytes(range(200))
    assert len(hub.asked("GET")) == 1


def test_an_error_without_end_is_not_read(fetch: Callable[..., Path], hub: Hub) -> None:
    hub.files["me/mats/model.safetensors"] = bytes(3000)
    hub.status, hub.drips, hub.pause = 500, "body", 1
    with pytest.raises(WeightsError, match="the server answers 500"):
        fetch()


def test_a_hub_that_sends_more_than_it_announced_is_not_heard_out(
    fetch: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = SimpleNamespace(etag="0" * 64, commit_hash=COMMIT, size=1000)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: facts)
    with pytest.raises(WeightsError, match="more came than the 1000 bytes"):
        fetch()
    assert files(tmp_path) == []


def test_other_bytes_than_promised_never_take_the_files_name(
    fetch: Callable[..., Path],
    hub: Hub,
    tmp_path: Path,
) -> None:
    hub.etag = "1" * 64
    with pytest.raises(WeightsError, match="differs from what the Hub promised"):
        fetch()
    assert files(tmp_path) == []


def test_the_librarys_own_way_to_load_goes_through_the_same_checks(
    fetch: Callable[..., Path],
    hub: Hub,
    tmp_path: Path,
) -> None:
    cache = tmp_path / "a" / "cache"
    assert HubMattingNetwork.from_pretrained("me/mats", cache_dir=cache).header
    hub.etag = "../../../../x"
    before = files(tmp_path)
    with pytest.raises(WeightsError, match="cannot be trusted"):
        HubMattingNetwork.from_pretrained("me/mats", cache_dir=cache)
    assert files(tmp_path) == before


# Names


@pytest.fixture(scope="module")
def authors_tensors() -> dict[str, torch.Tensor]:
    """Give a network under the authors' names."""
    return authors_state(sane_network(), prefix="module.", counters=True)


@pytest.fixture
def authors(tmp_path: Path, authors_tensors: dict[str, torch.Tensor]) -> Path:
    """Write a checkpoint as the authors' are."""
    path = tmp_path / "authors.pth"
    torch.save({"state_dict": authors_tensors}, path)
    return path


def test_removed_weights_are_forgotten_and_the_right_file_takes_their_name(
    authors: Path, authors_tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pth"
    state = dict(authors_tensors)
    state["module.pred.0.1.weight"] = state["module.pred.0.1.weight"] * 2
    torch.save({"state_dict": state}, wrong)
    weights.import_file(wrong, name="a2u-official")
    with pytest.raises(WeightsError, match="a2u weights rm a2u-official forgets it"):
        weights.import_file(authors, name="a2u-official", force=True)
    registry.remove("a2u-official")
    weights.import_file(authors, name="a2u-official")
    assert registry.describe("a2u-official").pin == "matches"
    (registry.cached("a2u-official")).unlink()  # by hand
    registry.remove("a2u-official")  # still forgets
    assert registry.pin("a2u-official") is None
    with pytest.raises(WeightsError, match="nothing removed"):
        registry.remove("a2u-official")


def test_a_reserved_name_takes_no_other_network(
    weights: Path, authors: Path, environment: Path, tmp_path: Path
) -> None:
    from a2u_cli.weights import import_file

    with pytest.raises(WeightsError, match="was not made from the authors' checkpoint"):
        import_file(weights, name="a2u-official")
    with pytest.raises(WeightsError, match="not the known a2u-open"):
        import_file(weights, name="a2u-open")
    with pytest.raises(WeightsError, match="too much like a2u-open"):
        import_file(weights, name="A2U-Open")
    assert not list(environment.glob("*"))
    converted = import_file(authors, name="theirs")
    assert import_file(converted, name="free").is_file()
    made = tmp_path / "made.safetensors"
    facts = {"source": "a.pth", "source_sha256": sha256_of(authors)}
    save_weights(sane_network(), made, licence="non-commercial", **facts)
    import_file(made, name="a2u-official")
    assert registry.describe("a2u-official").pin == "matches"
    import_file(authors, name="a2u-official", force=True)  # the same source


def test_a_checkpoint_whose_name_is_not_utf_8_is_imported(authors: Path, tmp_path: Path) -> None:
    path = authors.rename(tmp_path / os.fsdecode(b"\xff\xfe.pth"))
    weights.import_file(path, name="x")
    assert registry.describe("x").source == r"\udcff\udcfe.pth"


def test_a_file_put_under_a_reserved_name_by_hand_is_not_called_good(
    weights: Path, environment: Path
) -> None:
    (environment / "a2u-official.safetensors").write_bytes(weights.read_bytes())
    assert registry.describe("a2u-official").pin == "differs"


# Kinds of numbers

KINDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "bool": lambda tensor: tensor > 0,
    "int": lambda tensor: tensor.int(),
    "long": lambda tensor: tensor.long(),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "float8": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "1e300": lambda tensor: torch.full_like(tensor, 1e300, dtype=torch.float64),
    "nan": lambda tensor: tensor * float("nan"),
}
OF_PICKLES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sparse": lambda tensor: tensor.to_sparse(),
    "nested": lambda tensor: torch.nested.nested_tensor([tensor, tensor]),
    "quantised": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    "meta": lambda tensor: tensor.to("meta"),
    "stride 0": lambda _: torch.zeros(1, dtype=torch.float16).expand(40_000, 40_000),
    "0-d": lambda _: torch.tensor(1.0),
    "no tensor": lambda _: None,  # type: ignore[arg-type,return-value]
}
REFUSED = "no plain arrays of floating-point|not finite numbers|does not fit|more than tensors"


@pytest.mark.parametrize("kind", KINDS)
def test_only_floating_point_numbers_are_good(weights: Path, tmp_path: Path, kind: str) -> None:
    from safetensors import safe_open

    with safe_open(weights, "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(weights)
    name = "pair1.generator.filter_u.weight"
    tensors[name] = KINDS[kind](tensors[name].float())
    path = tmp_path / "x.safetensors"
    save_tensors(tensors, path, metadata)
    from a2u_cli.weights import import_file, load_model

    for attempt in (load_model, lambda path: import_file(path, name="x")):
        with pytest.raises(WeightsError, match=REFUSED) as caught:
            attempt(path)
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # torch's, of what it deprecates
@pytest.mark.parametrize("kind", [*KINDS, *OF_PICKLES])
def test_a_checkpoint_of_anything_else_is_refused_before_memory_is_taken(
    authors_tensors: dict[str, torch.Tensor], tmp_path: Path, kind: str
) -> None:
    state = dict(authors_tensors)
    name = next(name for name in state if "bilinear0" in name and "bconv_U" in name)
    state[name] = (KINDS | OF_PICKLES)[kind](state[name])
    path = tmp_path / "x.pth"
    torch.save({"state_dict": state}, path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=REFUSED) as caught:
        weights.read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def test_of_thousands_of_wrong_names_ten_and_a_count_are_told(
    authors_tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "x.pth"
    more = {f"module.layer0.{number:05}.weight": torch.zeros(1) for number in range(500)}
    torch.save({"state_dict": authors_tensors | more}, path)
    with pytest.raises(WeightsError, match=r"unexpected: stem\.00000\..* and 490 more$") as caught:
        weights.read_checkpoint(path)
    assert str(caught.value).count("stem.0") == 10


def test_doubles_within_reach_are_taken() -> None:
    network = sane_network()
    doubles = {name: tensor.double() for name, tensor in stored_tensors(network).items()}
    fill(network, doubles, Path("x"))
