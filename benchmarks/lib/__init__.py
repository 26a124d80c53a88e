"""What several scripts share: measuring, reporting, and the problem that is trained."""
