"""Lint the Dockerfile; build it and matte in it where a daemon is, else run its steps without one.

    python tests/container_check.py

Run by `make check`. Without Docker the steps run in an empty folder, with what the .dockerignore
lets through, into an environment of their own; only Debian's packages are those that are here, and
torch comes from where pip looks by itself, as the constraints for machines without a GPU have it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "Dockerfile"
MATTE = ("matte", "plush.png", "--trimap", "plush_trimap.png", "-o", "alpha.png")


def main() -> None:
    run(Path(sys.executable).with_name("hadolint"), DOCKERFILE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for picture in ("plush.png", "plush_trimap.png"):
            shutil.copy(ROOT / "examples" / picture, folder)
        if has_daemon():
            build(folder)
        else:
            walk(folder)
        assert (folder / "alpha.png").stat().st_size > 1000
    print("the container mattes" if has_daemon() else "no daemon: the container's steps matte")


def has_daemon() -> bool:
    docker = shutil.which("docker")
    return bool(docker) and not subprocess.run([docker, "info"], capture_output=True).returncode


def build(folder: Path) -> None:
    """Build the image, and matte in it as whoever runs this."""
    run("docker", "build", "--tag", "a2u-check", ROOT)
    owner = f"{os.getuid()}:{os.getgid()}"
    mount = ("--volume", f"{folder}:/work")
    run("docker", "run", "--rm", "--user", owner, "--network", "none", *mount, "a2u-check", *MATTE)


def walk(folder: Path) -> None:
    """Do what the steps say, and matte in the environment that they make."""
    source, at = folder / "source", folder / "a2u"
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    environment["PIP_CONSTRAINT"] = str(ROOT / "constraints-cpu.txt")
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    environment["PATH"] = f"{Path(sys.base_prefix, 'bin')}:{os.environ['PATH']}"
    steps, told = 0, {"AT": str(at), "TORCH": "https://pypi.org/simple"}
    for word, rest in instructions(DOCKERFILE.read_text()):
        if word == "ARG":
            name, _, default = rest.partition("=")
            environment[name] = told.get(name, default)
        elif word == "COPY" and rest == ". .":
            copy_context(source)
        elif word == "RUN" and "apt-get" not in rest:
            steps += 1
            where = source if source.exists() else folder
            run("bash", "-euo", "pipefail", "-c", rest, cwd=where, env=environment)
    assert steps == 2, f"{steps} steps were found, expected torch's and a2u's"
    shutil.rmtree(source)
    environment["PATH"] = f"{at / 'bin'}:/usr/bin:/bin"
    run(at / "bin/a2u", *MATTE, cwd=folder, env=environment)


def instructions(text: str) -> list[tuple[str, str]]:
    """Read a Dockerfile: each instruction's word and what follows, on one line."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    return re.findall(r"^([A-Z]+) (.*)$", joined, re.MULTILINE)


def copy_context(to: Path) -> None:
    """Copy what is committed, or will be, and the .dockerignore lets through."""
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and r[0] != "#"]
    assert rules[0] == "*", "a .dockerignore that begins by refusing all is read here, no other"
    wanted = [rule[1:] for rule in rules if rule.startswith("!")]
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if any(fnmatch(name, rule) or name.startswith(f"{rule}/") for rule in wanted):
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert not done.returncode, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    main()
