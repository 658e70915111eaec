"""The messages of the verdict protocol, generated from `luthien/v1/*.proto` when the package is built."""
