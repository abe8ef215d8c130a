"""Small data sets that the package renders itself."""
