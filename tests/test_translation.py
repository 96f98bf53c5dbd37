"""The authors' checkpoints: their names, all forms of their files, what their network gives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from a2u_cli import weights
from a2u_cli.commands.weights import app
from a2u_cli.errors import WeightsError
from a2u_cli.network.model import MattingNetwork
from a2u_cli.units import STRIDE
from a2u_cli.weights import registry
from a2u_cli.weights.cache import sha256_of
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


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and nothing shipped."""
    monkeypatch.setenv("A2U_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", ())


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
