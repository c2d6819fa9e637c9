"""Alert rules: thresholds are data (`alerts.yaml`, and a user's own files)."""
