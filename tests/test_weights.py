"""Weights files: round trips, strictness, names, addresses."""

import json
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from a2u_cli import weights
from a2u_cli.errors import OutOfMemory, WeightsError
from a2u_cli.network.model import MattingNetwork
from a2u_cli.operators.affinity import AffinityPair
from a2u_cli.weights import format as weights_format
from a2u_cli.weights import registry
from a2u_cli.weights.cache import sha256_of
from a2u_cli.weights.download import HubFile
from a2u_cli.weights.header import read_header


@pytest.fixture(scope="module")
def network() -> MattingNetwork:
    torch.manual_seed(0)
    return MattingNetwork().eval()


@pytest.fixture
def saved(network: MattingNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "saved.safetensors"
    weights.save_weights(network, path, licence="Apache-2.0", source="test", training={"steps": 7})
    return path


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and nothing shipped."""
    monkeypatch.setenv("A2U_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", ())
    return tmp_path / "cache"


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, str]], object]) -> None:
    """Write a weights file anew with its tensors and metadata changed."""
    length = int.from_bytes(path.read_bytes()[:8], "little")
    metadata = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def test_weights_survive_the_round_trip(network: MattingNetwork, saved: Path) -> None:
    loaded = weights.load_model(saved)
    assert not loaded.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_equal_weights_give_equal_files(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    network = weights.load_model(saved)
    weights.save_weights(network, again, licence="Apache-2.0", source="test", training={"steps": 7})
    assert again.read_bytes() == saved.read_bytes()


def test_half_precision_rounds_convolutions_only(network: MattingNetwork, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    weights.save_weights(network, path, licence="x", source="y", dtype=torch.float16)
    assert path.stat().st_size < 17e6
    assert read_header(path).dtype == "F16"
    state, loaded = network.state_dict(), weights.load_model(path).state_dict()
    assert torch.equal(loaded["stem.conv.weight"], state["stem.conv.weight"].half().float())
    assert torch.equal(loaded["stem.norm.bias"], state["stem.norm.bias"])
    assert loaded["stem.conv.weight"].dtype == torch.float32


def test_the_header_describes_the_file_without_torch(saved: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from a2u_cli.weights import header;"
        "print(header.read_header(Path(sys.argv[1])).training); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{'steps': 7}\n", "")
    header = read_header(saved)
    assert (header.variant, header.licence, header.source) == ("share", "Apache-2.0", "test")
    assert header.sizes == {"parameters": 8089235, "channels": [64, 128, 256], "stride": 16}
    assert len(header.shapes) == 339


def test_the_unshare_variant_is_told_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "unshare.safetensors"
    weights.save_weights(MattingNetwork(shared=False), path, licence="x", source="y")
    assert not weights.load_model(path).shared


def test_every_misfit_is_listed_and_sorted(saved: Path) -> None:
    def change(tensors: dict[str, Tensor], _: dict[str, str]) -> None:
        del tensors["stem.norm.bias"], tensors["head.conv.weight"]
        tensors["zebra"], tensors["aardvark"] = torch.zeros(1, 1), torch.zeros(1, 1)
        tensors["smooth.weight"] = torch.zeros(1, 1, 5, 5)

    rewrite(saved, change)
    with pytest.raises(WeightsError) as caught:
        weights.load_model(saved)
    assert str(caught.value).endswith(
        "does not fit the share network: missing: head.conv.weight, stem.norm.bias; "
        "unexpected: aardvark, zebra; "
        "wrong shape: smooth.weight (1, 1, 5, 5) instead of (1, 1, 3, 3)"
    )


def test_a_header_that_lies_about_the_variant_is_refused(saved: Path) -> None:
    rewrite(saved, lambda _, metadata: metadata.update(variant="unshare"))
    with pytest.raises(WeightsError, match=r"unshare network: wrong shape: down2\.pair"):
        weights.load_model(saved)


def test_an_operator_of_another_version_is_one_line(saved: Path) -> None:
    rewrite(saved, lambda _, metadata: metadata.update(variant="a3u"))
    with pytest.raises(WeightsError, match=r"operator 'a3u', expected one of nearest, .*; update"):
        weights.load_model(saved)


def test_a_pair_without_a_name_is_not_saved(tmp_path: Path) -> None:
    network = MattingNetwork(pair=lambda channels: AffinityPair(channels, rank=3))
    with pytest.raises(ValueError, match="has no name"):
        weights.save_weights(network, tmp_path / "x.safetensors", licence="x", source="y")


def test_the_networks_of_the_hub_are_the_released_ones(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights.save_weights(MattingNetwork(operator="nearest"), path, licence="x", source="y")
    with pytest.raises(WeightsError, match="operator nearest, and the Hub's network takes A2U's"):
        weights.HubMattingNetwork.from_file(path)


def test_values_that_are_not_finite_are_refused(saved: Path, network: MattingNetwork) -> None:
    rewrite(saved, lambda tensors, _: tensors["smooth.weight"].fill_(float("nan")))
    with pytest.raises(WeightsError, match=r"not finite numbers in smooth\.weight"):
        weights.load_model(saved)


def test_an_overflow_in_half_precision_is_refused(tmp_path: Path) -> None:
    network = MattingNetwork()
    torch.nn.init.constant_(network.smooth.weight, 1e6)
    with pytest.raises(WeightsError, match="not finite"):
        weights.save_weights(
            network, tmp_path / "x.safetensors", licence="", source="", dtype=torch.float16
        )
    assert not list(tmp_path.glob("*x.safetensors*"))


def cut(data: bytes) -> bytes:
    return data[:-1000]


def lengthened(data: bytes) -> bytes:
    return data + b"\0"


def absurd_length(data: bytes) -> bytes:
    return struct.pack("<Q", 1 << 62) + data[8:]


def nested_json(_: bytes) -> bytes:
    return struct.pack("<Q", 100_000) + b"[" * 100_000


def other_json(_: bytes) -> bytes:
    return struct.pack("<Q", 2) + b"{}"


def wrong_types(_: bytes) -> bytes:
    header = b'{"__metadata__": {"format": "a2u", "version": "1"}, "a": [1]}'
    return struct.pack("<Q", len(header)) + header


def empty(_: bytes) -> bytes:
    return b""


def text(_: bytes) -> bytes:
    return b"<html>404: not found, but with a friendly page</html>"


@pytest.mark.parametrize(
    "damage",
    [cut, lengthened, absurd_length, nested_json, other_json, wrong_types, empty, text],
)
def test_a_damaged_file_is_refused_in_one_line(
    saved: Path, cache: Path, damage: Callable[[bytes], bytes]
) -> None:
    saved.write_bytes(damage(saved.read_bytes()))
    for attempt in (weights.load_model, lambda path: weights.import_file(path, name="bad")):
        with pytest.raises(WeightsError) as caught:
            attempt(saved)
        assert str(saved) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(cache.glob("*"))


SHORT = (
    MemoryError("Cannot allocate memory (os error 12)"),  # safetensors
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    OSError(12, "Cannot allocate memory"),  # of a file that is mapped
)


@pytest.mark.parametrize("short", SHORT, ids=lambda error: type(error).__name__)
def test_weights_that_do_not_fit_into_memory_are_not_called_damaged(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: Exception
) -> None:
    def raise_it(*_: object, **__: object) -> None:
        raise short

    monkeypatch.setattr(weights_format, "load_file", raise_it)
    monkeypatch.setattr(torch, "load", raise_it)
    torch.save({}, tmp_path / "authors.pth")
    for attempt, path in (
        (weights.load_model, saved),
        (lambda path: weights.import_file(path, name="x"), saved),
        (weights.read_checkpoint, tmp_path / "authors.pth"),
        (lambda path: weights.import_file(path, name="y"), tmp_path / "authors.pth"),
    ):
        with pytest.raises(OutOfMemory, match="takes more memory than is free") as caught:
            attempt(path)
        assert str(path) in str(caught.value)


def test_another_format_and_a_later_version_are_refused(saved: Path) -> None:
    rewrite(saved, lambda _, metadata: metadata.update(version="2"))
    with pytest.raises(WeightsError, match="version 2, expected a2u 1; update"):
        weights.load_model(saved)
    rewrite(saved, lambda _, metadata: metadata.update(format="pt"))
    with pytest.raises(WeightsError, match="format pt"):
        weights.load_model(saved)


def test_an_unwritable_place_is_refused(network: MattingNetwork, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="cannot write"):
        weights.save_weights(network, tmp_path / "file" / "x.safetensors", licence="", source="")


def test_missing_weights_say_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"neither a file nor a name \(a2u-open, a2u-official"):
        weights.load_model("nonsense")
    with pytest.raises(WeightsError, match="run: a2u weights get a2u-open"):
        weights.load_model()
    with pytest.raises(WeightsError, match="neither a file"):
        weights.load_model(tmp_path)


def test_shipped_weights_are_found_by_name(
    monkeypatch: pytest.MonkeyPatch, saved: Path, tmp_path: Path
) -> None:
    saved.rename(tmp_path / "a2u-open.safetensors")
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", (tmp_path / "nowhere", tmp_path))
    assert weights.load_model().shared
    assert registry.describe("a2u-open").path == str(tmp_path / "a2u-open.safetensors")


class Malicious:
    """Touches a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("raw", [True, False], ids=["pickle", "torch"])
def test_a_malicious_pickle_is_not_run(tmp_path: Path, cache: Path, raw: bool) -> None:
    file, marker = tmp_path / "evil.pth", tmp_path / "owned"
    payload = {"state_dict": {"module.layer0.0.weight": Malicious(marker)}}
    if raw:
        file.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, file)
    with pytest.raises(WeightsError, match="could run code when loaded; nothing in it was run"):
        weights.import_file(file, name="evil")
    assert not marker.exists()
    assert not list(cache.glob("*"))


def test_an_import_replaces_only_when_told(saved: Path) -> None:
    weights.import_file(saved, name="mine")
    with pytest.raises(WeightsError, match="use --force"):
        weights.import_file(saved, name="mine")
    weights.import_file(saved, name="mine", force=True)


def test_the_wrong_variant_cannot_take_an_official_name(saved: Path) -> None:
    with pytest.raises(WeightsError, match="holds the share variant"):
        weights.import_file(saved, name="a2u-official-unshare")


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "a b"])
def test_a_name_cannot_leave_the_cache(saved: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="is no name"):
        weights.import_file(saved, name=name)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hf://me/mats", ("me/mats", "main", "model.safetensors")),
        ("hf://me/mats@v1.0", ("me/mats", "v1.0", "model.safetensors")),
        ("hf://me/m.a_t-s@abc/sub/x.safetensors", ("me/m.a_t-s", "abc", "sub/x.safetensors")),
        ("hf://me/mats/x.safetensors", ("me/mats", "main", "x.safetensors")),
    ],
)
def test_hub_addresses_are_read(address: str, expected: tuple[str, str, str]) -> None:
    assert HubFile.parse(address) == HubFile(*expected)


@pytest.mark.parametrize(
    "address",
    [
        *("hf://", "hf://me", "hf:///etc/passwd", "hf://me/../x", "hf://me/mats@", "hf://../x"),
        *("hf://me/mats/../x.safetensors", "hf://me/mats//etc/x.safetensors", "hf://me/m a"),
        *("hf://me/mats/model.bin", "hf://me/mats@main/../../x.safetensors", "hf://me/mats\n"),
        *("hf://me/" + "x" * 300, "hf://me/a--b", "hf://me/a-", "hf://me/a.git"),
    ],
)
def test_bad_hub_addresses_are_refused(address: str) -> None:
    with pytest.raises(WeightsError, match="is no address on the Hub"):
        weights.load_model(address)


def test_damaged_pins_are_refused(cache: Path) -> None:
    cache.mkdir()
    (cache / "pins.json").write_text("[1")
    with pytest.raises(WeightsError, match=r"pins\.json is damaged"):
        registry.describe("a2u-official")


def test_the_shipped_weights_have_the_registered_checksum() -> None:
    path = Path(__file__).parents[1] / "weights" / "a2u-open.safetensors"
    assert sha256_of(path) == registry.REGISTRY["a2u-open"].sha256
    assert read_header(path).licence == "Apache-2.0"
    weights.load_model(path)
