"""The other environments, as the kernels' tests have them."""

from tests.kernels.conftest import other_environment

__all__ = ["other_environment"]
