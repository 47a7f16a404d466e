"""The baselines: models to compare with, behind one interface (`base.Baseline`)."""
