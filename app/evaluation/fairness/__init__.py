"""`recserve evaluate --fairness`: which items are shown, and whom the service serves how well."""
