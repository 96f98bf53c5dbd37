"""Build the fused CPU operators; everything else about the package is in pyproject.toml."""

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

GNU = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"]
FLAGS = {
    "msvc": ["/O2", "/fp:fast"],
    "unix": [*GNU, "-ffp-contract=fast", "-fvisibility=hidden"],
    "mingw32": [*GNU, "-ffp-contract=fast"],
}


class BuildPlainLibrary(build_ext):
    """Choose the flags by compiler: sums may be reordered into vectors, but NaN and infinity stay."""

    def build_extension(self, ext: Extension) -> None:
        ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, [])
        super().build_extension(ext)


setup(
    # Optional: without a compiler the package installs and the torch form of the operators serves.
    ext_modules=[Extension("a2u_cli._affinity", ["a2u_cli/_affinity.c"], optional=True)],
    cmdclass={"build_ext": BuildPlainLibrary},
)
