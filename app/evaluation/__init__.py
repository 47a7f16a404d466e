"""Measures the accuracy of the serving engine and of baselines: protocols, metrics, reports."""
