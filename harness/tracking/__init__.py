"""From records to MLflow and back."""
