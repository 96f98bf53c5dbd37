"""Weights files: round trips, strictness, the authors' checkpoints, parity with their network."""

import json
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from a2u_cli import weights
from a2u_cli.commands.weights import app
from a2u_cli.errors import OutOfMemory, WeightsError
from a2u_cli.network.model import MattingNetwork
from a2u_cli.units import STRIDE
from a2u_cli.weights import format as weights_format
from a2u_cli.weights import registry
from a2u_cli.weights.cache import sha256_of
from a2u_cli.weights.download import HubFile
from a2u_cli.weights.header import read_header

PARITY = Path(__file__).parents[2] / "shared" / "parity"
GENERATORS = ("bilinear0", "bilinear1", "layer2_1.bilinear", "layer3_1.bilinear")
GENERATOR = ("bnu.0", "bnv.0", "bconv_UP.1", "bconv_DP.1", "bconv_U.1", "bconv_V.1")
STAGES = ("layer1", "layer2_2", "layer3_2")
CONVS = ("conv1", "bn1", "conv2", "bn2")
AUTHORS_LAYERS = [
    *(f"layer0.{i}" for i in range(2)),
    *(f"{place}.{part}" for place in GENERATORS for part in GENERATOR),
    *(f"{s}.block{b}.convs.{part}" for s in STAGES for b in (1, 2, 3) for part in CONVS),
    *(f"layer{i}_1.layer{part[-1]}.{part}" for i in (2, 3) for part in CONVS),
    *(f"layer{i}_1.{part}" for i in (2, 3) for part in ("proj_conv", "proj_bn")),
    *(f"dconv_pp.aspp1.atrous_conv.{i}" for i in range(2)),
    *(f"dconv_pp.aspp{k}.atrous_conv.{i}" for k in (2, 3, 4) for i in range(4)),
    *(f"dconv_pp.global_avg_pool.{i}" for i in (1, 2)),
    *(f"dconv_pp.bottleneck_conv.{i}" for i in range(2)),
    *(f"short{k}.{i}" for k in range(4) for i in range(2)),
    *(
        f"decoder_layer{k}.{block}.dep_sep_conv.{part}"
        for k in (1, 2, 3, 4)
        for block in ("dconv", "dconv1")
        for part in CONVS
    ),
    *(f"decoder_layer{k}.dconv.{p}" for k in (1, 3, 4) for p in ("proj_conv", "proj_bn")),
    *("pred.0.0", "pred.0.1", "pred.1"),
]
LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def authors_state(network: MattingNetwork, *, prefix: str, counters: bool) -> dict[str, Tensor]:
    """The network's tensors under the authors' names."""
    state = network.state_dict()
    names = [f"{layer}.{leaf}" for layer in AUTHORS_LAYERS for leaf in LEAVES]
    theirs = {n: state[weights.translate(n)] for n in names if weights.translate(n) in state}
    return {prefix + n: t for n, t in theirs.items() if counters or "num_batches" not in n}


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


def test_the_authors_names_translate_to_ours_one_to_one(network: MattingNetwork) -> None:
    state = authors_state(network, prefix="module.", counters=True)
    assert len(state) == 397
    assert sorted(map(weights.translate, state)) == sorted(network.state_dict())


@pytest.mark.parametrize("shared", [True, False], ids=["share", "unshare"])
@pytest.mark.parametrize(
    ("prefix", "counters", "wrapped"),
    [("module.", True, True), ("module.", False, True), ("", True, False), ("", False, True)],
)
def test_every_form_of_the_authors_file_is_imported(
    tmp_path: Path, shared: bool, prefix: str, counters: bool, wrapped: bool
) -> None:
    network = MattingNetwork(shared=shared)
    torch.nn.init.normal_(network.stem.norm.weight)
    torch.nn.init.normal_(network.pair1.generator.norm_u.weight)
    state = authors_state(network, prefix=prefix, counters=counters)
    file = tmp_path / "authors.pth"
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, file)
    path = weights.import_file(file, name="theirs")
    loaded = weights.load_model("theirs")
    assert loaded.shared == shared
    folded = network.stem.norm.weight.abs() + 1e-5
    assert torch.equal(loaded.stem.norm.weight, folded)
    assert torch.equal(
        loaded.pair1.generator.norm_u.weight, network.pair1.generator.norm_u.weight
    ), "GroupNorm keeps its sign"
    header = read_header(path)
    assert (header.licence, header.source) == ("unknown", "authors.pth")
    assert header.source_sha256 == sha256_of(file)


def test_misfits_of_an_authors_file_are_listed(network: MattingNetwork, tmp_path: Path) -> None:
    state = authors_state(network, prefix="module.", counters=True)
    del state["module.short0.0.weight"]
    state["module.layer4.0.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"missing: decoder1\.skip\.conv.*unexpected: layer4"):
        weights.read_checkpoint(tmp_path / "odd.pth")


def test_a_checkpoint_with_other_names_is_refused(network: MattingNetwork, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "ours.pth")
    with pytest.raises(WeightsError, match="does not hold the authors' network"):
        weights.read_checkpoint(tmp_path / "ours.pth")


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


def test_something_other_than_tensors_is_refused(tmp_path: Path) -> None:
    for payload in ([1, 2], {"state_dict": {"a": "text"}}, {"state_dict": 5}, torch.zeros(3)):
        torch.save(payload, tmp_path / "odd.pth")
        with pytest.raises(WeightsError, match="expected a checkpoint"):
            weights.read_checkpoint(tmp_path / "odd.pth")


def test_the_first_import_pins_the_source(network: MattingNetwork, tmp_path: Path) -> None:
    file = tmp_path / "official.pth"
    torch.save(authors_state(network, prefix="module.", counters=True), file)
    assert registry.describe("a2u-official").pin == "not pinned"
    weights.import_file(file, name="a2u-official")
    assert registry.describe("a2u-official").pin == "matches"
    assert registry.describe("a2u-official").licence == "non-commercial"
    weights.import_file(file, name="a2u-official", force=True)
    torch.save(authors_state(network, prefix="", counters=True), file)
    with pytest.raises(WeightsError, match="not the known a2u-official: its sha256 is"):
        weights.import_file(file, name="a2u-official", force=True)


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


@pytest.mark.skipif(not PARITY.exists(), reason="needs the parity cases in ../shared")
@pytest.mark.parametrize(
    ("case", "variant"),
    [("random_h97_w130", "share"), ("synth_h320_w320", "share"), ("synth_h320_w320", "unshare")],
)
def test_an_imported_checkpoint_gives_the_authors_output(
    tmp_path: Path, case: str, variant: str
) -> None:
    script, manifest = PARITY / "make_weights.py", PARITY / f"manifest_{variant}.json"
    checkpoint = tmp_path / "authors.pth"
    subprocess.run([sys.executable, script, manifest, checkpoint], check=True, capture_output=True)
    done = CliRunner().invoke(app, ["import", str(checkpoint), "--name", "authors"])
    assert done.exit_code == 0, done.output

    image = np.asarray(Image.open(PARITY / "cases" / f"{case}.png").convert("RGB"))
    trimap = np.asarray(Image.open(PARITY / "cases" / f"{case}_trimap.png").convert("L"))
    trimap = np.where((trimap == 0) | (trimap == 255), trimap, 128)
    pad = [(0, -side % STRIDE) for side in trimap.shape]
    image = np.pad(np.float32(image) / 255, [*pad, (0, 0)], "reflect")
    trimap = np.pad(np.float32(trimap) / 255, pad, "reflect")
    with torch.inference_mode():
        raw = weights.load_model("authors")(
            torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(trimap)[None, None]
        )
    expected = np.load(PARITY / "cases" / f"{case}.{variant}.npz")["raw"]
    error = np.abs(raw.numpy().reshape(expected.shape) - expected)
    assert error.max() < 2e-5, np.histogram(error)
