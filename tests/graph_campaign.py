"""Compare exported graphs with torch at drawn sizes: a seeded campaign.

    python tests/graph_campaign.py --sizes 20 --seed 0

Graphs of the shipped weights, in float32 and in float16, and where the parity weights are at hand
those of both variants. A difference larger than the certificate's tolerance ends it with 1.
"""

import argparse
import json
import runpy
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from a2u_cli.export import certificate
from a2u_cli.export.onnx_files import read_facts, write_onnx
from a2u_cli.matting.matter import Matter
from a2u_cli.matting.onnx_matter import OnnxMatter
from a2u_cli.units import Size
from a2u_cli.weights import save_weights
from a2u_cli.weights.translation import read_checkpoint

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "weights" / "a2u-open.safetensors"
PARITY = ROOT.parent / "shared" / "parity"
SMALLEST, LARGEST = (16, 16), (900, 1500)


def draw_sizes(count: int, seed: int) -> list[Size]:
    """Draw sizes, (height, width): both ends, then sides log-uniform, upright or not, small first.

    Sides are drawn apart, so thin ones are among them; of odd ones there is at least a third.
    """
    rng = np.random.default_rng(seed)
    sizes: set[Size] = {SMALLEST, LARGEST}
    while len(sizes) < count:
        sides = np.exp(rng.uniform(np.log(SMALLEST), np.log(np.add(LARGEST, 1))))
        height, width = sides.astype(int)[:: rng.choice((1, -1))]
        if 3 * sum(h % 2 and w % 2 for h, w in sizes) < len(sizes):
            height, width = height | 1, width | 1
        sizes.add((int(height), int(width)))
    return sorted(sizes, key=lambda size: size[0] * size[1])


def find_weights(folder: Path) -> dict[str, Path]:
    """Name the weights files: the shipped one, and the parity ones, imported into a folder."""
    found = {"a2u-open": SHIPPED}
    if not PARITY.is_dir():
        print("without the parity weights: they lie in ../shared/parity, which is not here")
        return found
    build = runpy.run_path(str(PARITY / "make_weights.py"))["build"]
    for variant in ("share", "unshare"):
        checkpoint = folder / f"{variant}.pth"
        manifest = json.loads((PARITY / f"manifest_{variant}.json").read_text())
        torch.save(build(manifest), checkpoint)
        found[f"parity-{variant}"] = checkpoint.with_suffix(".safetensors")
        facts = {"licence": "unknown", "source": "parity", "quality": "fast"}
        save_weights(read_checkpoint(checkpoint), found[f"parity-{variant}"], **facts)
    return found


def compare(graph: Path, weights: Path, sizes: list[Size], *, half: bool) -> bool:
    """Export, where it is not there yet, and print how far a graph is from torch; tell if well."""
    if not graph.exists():
        write_onnx(weights, graph, half=half)
    try:
        print(
            certificate.certify(
                graph,
                read_facts(graph),
                exported=partial(OnnxMatter, graph, quality="fast"),
                original=partial(Matter, weights, quality="fast", device="cpu", dtype="float32"),
                runtime=f"{graph.stem} in onnxruntime {onnxruntime.__version__}",
                sizes=sizes,
                costs=False,
            ),
            flush=True,
        )
    except certificate.ParityError as error:
        print(error, flush=True)
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--graphs", type=Path, help="Keep graphs there; take those that are there.")
    given = parser.parse_args()
    sizes = draw_sizes(given.sizes, given.seed)
    with tempfile.TemporaryDirectory() as name:
        found = find_weights(Path(name))
        folder = given.graphs or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        good = [compare(folder / f"{n}.onnx", path, sizes, half=False) for n, path in found.items()]
        good.append(compare(folder / "a2u-open-half.onnx", SHIPPED, sizes, half=True))
    print(f"{len(good)} graphs, {len(sizes)} sizes, {good.count(False)} beyond their tolerance")
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
