"""Build the fused CPU operators, and find the packages; all else is in pyproject.toml."""

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

FUSED = "a2u_cli/operators/fused"
FLAGS = {
    "msvc": ["/O2", "/fp:contract"],
    "unix": ["-O3", "-ffp-contract=fast", "-fvisibility=hidden"],
    "mingw32": ["-O3", "-ffp-contract=fast"],
}


class BuildPlainLibrary(build_ext):
    """Choose the flags by compiler: a product and a sum may fuse, nothing else may change."""

    def build_extension(self, ext: Extension) -> None:
        ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, [])
        super().build_extension(ext)


setup(
    # Found, not listed: a new sub-package is never missing from a wheel. The weights lie apart.
    packages=[*find_packages(include=["a2u_cli", "a2u_cli.*"]), "a2u_cli.pretrained"],
    # Optional: without a compiler the package installs and the torch form of the operators serves.
    ext_modules=[
        Extension(
            "a2u_cli.operators.fused._compiled",
            [
                f"{FUSED}/{name}.c"
                for name in ("library", "resampling", "resampling_avx2", "winograd")
            ],
            depends=[f"{FUSED}/arguments.h", f"{FUSED}/resampling.c"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildPlainLibrary},
)
