"""Build the wheel, install it into an empty environment outside the checkout, and matte there.

    python tests/wheel_check.py

Run by `make check`. The environment borrows the packages of the running one (torch alone is
hundreds of megabytes), but not the checkout's `a2u_cli`.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT)
        (wheel,) = (folder / "dist").glob("a2u_cli-*.whl")
        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
        site = next((folder / "env").glob("lib/python*/site-packages"))
        # after the environment's own folder, so that its a2u_cli is the one from the wheel; only
        # the folder itself, not its .pth files, which would bring the checkout in
        (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        check(python, folder)


def check(python: Path, folder: Path) -> None:
    where = run(python, "-c", "import a2u_cli; print(a2u_cli.__file__)", cwd=folder)
    assert str(folder) in where, f"imported from {where}, not from the wheel"
    installed = Path(where.strip()).parent.parent
    for path in sorted((ROOT / "a2u_cli").rglob("__init__.py")):
        assert (installed / path.relative_to(ROOT)).is_file(), f"{path.parent} is not in the wheel"
    pages = [
        path.relative_to(ROOT / "a2u_cli")
        for folder in ("serve/static", "export/web")
        for path in sorted((ROOT / "a2u_cli" / folder).iterdir())
    ]
    for data in ("scoring/report.html.j2", "matting/explain.html", "serve/openapi.json", *pages):
        assert (installed / "a2u_cli" / data).is_file(), f"{data} is not in the wheel"
    for library in ("operators/fused/_compiled", "rendering/_raster"):
        assert list((installed / "a2u_cli").glob(f"{library}*")), f"{library} is not in the wheel"
    doctor = run(python, "-m", "a2u_cli", "doctor", cwd=folder)
    assert "pretrained" in doctor, "the shipped weights are not in the wheel"
    image, trimap = ROOT / "examples/plush.png", ROOT / "examples/plush_trimap.png"
    run(python, "-m", "a2u_cli", "matte", image, "--trimap", trimap, "-o", "alpha.png", cwd=folder)
    assert (folder / "alpha.png").stat().st_size > 1000
    print(f"{doctor}\nthe wheel mattes outside the checkout")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "A2U_WEIGHTS")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean, text=True, stdout=subprocess.PIPE
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
