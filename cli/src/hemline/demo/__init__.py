"""The whole loop on one machine, shown."""

from hemline.demo._command import demo

__all__ = ["demo"]
