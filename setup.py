"""Build the fused CPU operators and the convolution; all else is in pyproject.toml."""

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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
    # Optional: without a compiler the package installs and the torch form of the operators serves.
    ext_modules=[
        Extension(
            "a2u_cli._native",
            [f"a2u_cli/_{name}.c" for name in ("affinity", "affinity_avx2", "winograd", "team")],
            depends=["a2u_cli/_affinity.c"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildPlainLibrary},
)
