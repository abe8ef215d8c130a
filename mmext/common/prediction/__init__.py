"""Applies a trained model of any of the three toolboxes to pictures, without a data set: tools/predict.py."""
