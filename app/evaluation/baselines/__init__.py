"""Models to compare with, behind one small interface (`base.Baseline`), named in `registry`."""
