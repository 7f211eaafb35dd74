"""Compute what the widgets show: plain functions that display nothing."""
