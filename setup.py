"""Build the fused operators and the rasteriser, find the packages; else see pyproject.toml."""

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

FUSED, RENDERING = "a2u_cli/operators/fused", "a2u_cli/rendering"
LAPLACIAN = "a2u_cli/matting/laplacian.c"
SOURCES = ["library", "resampling", "resampling_avx2", "resampling_avx512", "winograd"]
SOURCES += ["winograd_avx512", "encodings", "encodings_avx512", "kernels", "kernels_avx512"]
FLAGS = {
    "msvc": ["/O2", "/fp:contract"],
    "unix": ["-O3", "-ffp-contract=fast", "-fvisibility=hidden"],
    "mingw32": ["-O3", "-ffp-contract=fast"],
}
SAME = {  # for the rasteriser: a seed gives the same picture, so nothing may fuse
    "msvc": ["/O2", "/fp:precise"],
    "unix": ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"],
    "mingw32": ["-O3", "-ffp-contract=off", "-fno-math-errno"],
}


class BuildPlainLibrary(build_ext):
    """Choose the flags by compiler: at most a product and a sum may fuse."""

    def build_extension(self, ext: Extension) -> None:
        flags = SAME if ext.name.startswith("a2u_cli.rendering") else FLAGS
        ext.extra_compile_args = flags.get(self.compiler.compiler_type, [])
        super().build_extension(ext)


setup(
    # Found, not listed: a new sub-package is never missing from a wheel. The weights lie apart.
    packages=[*find_packages(include=["a2u_cli", "a2u_cli.*"]), "a2u_cli.pretrained"],
    # Optional: without a compiler the package installs, the torch form of the operators serves, and
    # rendering says that it is not built.
    ext_modules=[
        Extension(
            "a2u_cli.operators.fused._compiled",
            [*(f"{FUSED}/{name}.c" for name in SOURCES), LAPLACIAN],
            depends=[f"{FUSED}/{name}" for name in ("arguments.h", "vectors.h", "lanes.h")],
            optional=True,
        ),
        Extension("a2u_cli.rendering._raster", [f"{RENDERING}/raster.c"], optional=True),
    ],
    cmdclass={"build_ext": BuildPlainLibrary},
)
