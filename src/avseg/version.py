"""Version of the package, used by the build and by `avseg --version`."""

__version__ = "0.1.0.dev0"
