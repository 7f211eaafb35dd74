"""What the widgets show, as numbers: plain functions without any display, one file a widget."""
